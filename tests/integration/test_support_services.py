"""A bundle for whoever helps: for administrators, while the brain allows it, without secrets and names."""

import json
from pathlib import Path
from typing import Any

from homeassistant.auth.const import GROUP_ID_ADMIN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, Unauthorized
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser

from custom_components.kitty.protocol import Json

from .conftest import ADA, BOB
from .fake_brain import TOKEN, FakeBrain, FakeError
from .workshop import act


@pytest.fixture(name="admin")
async def admin_fixture(
    hass: HomeAssistant, kitty: MockConfigEntry, people: dict[str, MockUser], brain: FakeBrain
) -> MockUser:
    """Return Ada as an administrator of a house whose brain allows bundles."""
    group = await hass.auth.async_get_group(GROUP_ID_ADMIN)
    assert group is not None
    people[ADA].groups = [group]
    brain.answers["system.support"] = lambda *_: {
        "version": "0.1.0",
        "findings": [{"code": "part_ill", "detail": f"Ada said {TOKEN}", "cure": "Look"}],
    }
    return people[ADA]


async def bundle(hass: HomeAssistant, user_id: str = ADA, **data: Any) -> Json:
    """Ask for a bundle."""
    found: Json = await act(hass, "get_support_bundle", user_id, **data)
    return found


async def test_a_bundle_holds_both_sides(hass: HomeAssistant, admin: MockUser) -> None:
    found = await bundle(hass)
    assert found["brain"]["version"] == "0.1.0"
    assert found["home_assistant"]["brain"]["connected"] is True


async def test_a_bundle_holds_no_secret_and_no_name(hass: HomeAssistant, admin: MockUser) -> None:
    """Also not where the brain says one."""
    found = await bundle(hass)
    assert found["brain"]["findings"][0]["detail"] == "**REDACTED** said **REDACTED**"
    assert TOKEN not in str(found)
    assert ADA not in str(found)


async def test_a_brain_that_does_not_allow_it_refuses(
    hass: HomeAssistant, admin: MockUser, brain: FakeBrain
) -> None:
    """It is off until a person sets debug."""

    async def refuse(_params: Json, _caller: Json | None) -> Json:
        raise FakeError("support_off")

    brain.answers["system.support"] = refuse
    with pytest.raises(HomeAssistantError) as caught:
        await bundle(hass)
    assert caught.value.translation_key == "support_off"


async def test_only_an_administrator_gets_one(
    hass: HomeAssistant, admin: MockUser, brain: FakeBrain
) -> None:
    with pytest.raises(Unauthorized):
        await bundle(hass, BOB)
    assert brain.sent("system.support") == []


async def test_a_bundle_is_written_where_it_is_wanted(
    hass: HomeAssistant, admin: MockUser, tmp_path: Path
) -> None:
    hass.config.allowlist_external_dirs = {str(tmp_path)}
    path = tmp_path / "bundle.json"
    assert await bundle(hass, path=str(path)) == {"path": str(path)}
    written = json.loads(await hass.async_add_executor_job(path.read_text))
    assert set(written) == {"brain", "home_assistant"}


async def test_a_bundle_is_written_nowhere_else(hass: HomeAssistant, admin: MockUser) -> None:
    with pytest.raises(HomeAssistantError) as caught:
        await bundle(hass, path="/etc/bundle.json")
    assert caught.value.translation_key == "path_not_allowed"
