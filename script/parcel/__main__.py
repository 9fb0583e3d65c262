"""``python -m script.parcel FOLDER``: pack everything into a folder."""

from pathlib import Path
import sys

from script.parcel.pack import ROOT, pack

if __name__ == "__main__":
    for path in pack(ROOT, Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
