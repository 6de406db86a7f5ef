"""Has Apache CXF make a client of the served WSDL, and lets that send, batch, schedule and read results.

Usage: run.py DIR/demo.json OUT. Needs a JDK (17 or newer) and Maven, which fetches CXF once.
"""

import json
import pathlib
import subprocess
import sys
import urllib.request

demo, out = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
address = json.loads(demo.read_text(encoding="utf-8"))["oms"] + "?WSDL"
# CXF's plugin makes a file's name of the address, and none has a `?`.
with urllib.request.urlopen(address, timeout=30) as served:
    (out / "served.wsdl").write_bytes(served.read())
words = ["mvn", "-q", "-B", "-f", str(pathlib.Path(__file__).parent / "pom.xml"), "clean", "compile", "exec:java"]
words += [f"-Dwsdl={out / 'served.wsdl'}", f"-Ddemo={demo}", f"-Dout={out / 'build'}"]
sys.exit(subprocess.run(words).returncode)
