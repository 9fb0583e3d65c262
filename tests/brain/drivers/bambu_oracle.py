"""Somebody else's client for Bambu printers, put through a print; a program, for it keeps its threads.

python bambu_oracle.py ADDRESS CODE SERIAL MQTT FTP CAMERA
"""

from collections.abc import Callable
import io
import json
import os
import sys
import time
from typing import Any
import zipfile

from bambulabs_api import Printer
from bambulabs_api.camera_client import PrinterCamera


def until(true: Callable[[], Any], seconds: float = 60) -> bool:
    """Tell whether something became true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.03)
    return False


def project() -> io.BytesIO:
    """Return a sliced project that prints for some seconds."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("Metadata/plate_1.gcode", "; seconds=6 warm_up=1\n")
    content.seek(0)
    return content


def main() -> dict[str, Any]:
    """Return what that client saw."""
    address, code, serial = sys.argv[1:4]
    mqtt, ftp, camera = map(int, sys.argv[4:7])
    printer = Printer(address, code, serial)
    printer.mqtt_client._port, printer.ftp_client.port = mqtt, ftp

    def becomes(state: str) -> bool:
        return until(lambda: str(printer.get_state()) == state)

    printer.mqtt_start()
    seen: dict[str, Any] = {"idle": becomes("IDLE")}
    seen["upload"] = printer.upload_file(project(), "oracle.3mf")
    printer.start_print("oracle.3mf", 1)
    seen["prepare"], seen["running"] = becomes("PREPARE"), becomes("RUNNING")
    seen["file"] = printer.gcode_file()
    printer.pause_print()
    seen["pause"] = becomes("PAUSE")
    printer.resume_print()
    seen["finish"] = becomes("FINISH")
    printer.start_print("oracle.3mf", 1)
    seen["again"] = becomes("RUNNING")
    printer.stop_print()
    seen["failed"] = becomes("FAILED")
    eye = PrinterCamera(address, code, camera)
    eye.start()
    seen["picture"] = until(lambda: eye.last_frame is not None)
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main()))
    sys.stdout.flush()
    os._exit(0)  # its threads would go on
