"""Alpha158 by qlib's own expression engine; run by the interpreter of a venv with pyqlib 0.9.7.

    python features_qlib.py BARS.npz PROCESSES

`BARS.npz` holds open, high, low, close, volume, [symbols, sessions], and the sessions as text.
Prints one line of JSON: the seconds of the faster of two evaluations, and how many values it made.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write_provider(folder: Path, bars: dict[str, np.ndarray]) -> list[str]:
    """Lay the bars out as qlib stores them: one float32 file for each symbol and field."""
    days = [str(day) for day in bars["sessions"]]
    (folder / "calendars").mkdir()
    (folder / "instruments").mkdir()
    (folder / "calendars" / "day.txt").write_text("\n".join(days) + "\n")
    symbols = [f"S{number:04d}" for number in range(len(bars["close"]))]
    rows = [f"{symbol}\t{days[0]}\t{days[-1]}" for symbol in symbols]
    (folder / "instruments" / "all.txt").write_text("\n".join(rows) + "\n")
    fields = {name: bars[name] for name in ("open", "high", "low", "close", "volume")}
    fields["vwap"] = (bars["high"] + bars["low"] + bars["close"]) / 3
    for number, symbol in enumerate(symbols):
        place = folder / "features" / symbol.lower()
        place.mkdir(parents=True)
        for name, values in fields.items():
            np.hstack([[0], values[number]]).astype("<f4").tofile(place / f"{name}.day.bin")
    return symbols


def main() -> None:
    """Write the provider, evaluate twice, print the second time."""
    import qlib
    from qlib.contrib.data.loader import Alpha158DL
    from qlib.data import D

    path, processes = sys.argv[1:]
    bars = dict(np.load(path))
    with tempfile.TemporaryDirectory() as folder:
        symbols = write_provider(Path(folder), bars)
        qlib.init(provider_uri=folder, region="us", kernels=int(processes), logging_level=40)
        config = {"kbar": {}, "rolling": {}}
        config["price"] = {"windows": [0], "feature": ["OPEN", "HIGH", "LOW", "VWAP"]}
        formulas, _ = Alpha158DL.get_feature_config(config)
        elapsed = []
        for _ in range(2):
            begin = time.perf_counter()
            frame = D.features(symbols, formulas, disk_cache=0)
            elapsed.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": min(elapsed), "values": int(frame.size)}))


if __name__ == "__main__":
    main()
