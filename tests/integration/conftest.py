"""What all tests of the integration share."""

# Before the first ``hass``: else the test plugin's own folder becomes ``custom_components``.
import custom_components.kitty

__all__ = ["custom_components"]
