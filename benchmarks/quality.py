"""All tables of quality: reconstruction, training, identification, traits, decoding."""

import argparse
import time
import warnings

import decoding
import dynamics
import identification
import pandas as pd
import reconstruction
import traits

TABLES = {
    "Reconstruction of hidden regions, heat-pain runs": reconstruction.run,
    "What training adds, simulated states": dynamics.run,
    "Identification across runs": identification.run,
    "Traits of small cohorts, simulated": traits.run,
    "Decoding heat and pain": decoding.run,
}


def main() -> None:
    """Print all tables, and the seconds that each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small versions of all tables")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    begun = time.perf_counter()
    for title, run in TABLES.items():
        started = time.perf_counter()
        result = run(quick)
        tables = result if isinstance(result, dict) else {"": result}
        print(f"\n== {title} ({time.perf_counter() - started:.0f} s)", flush=True)
        for name, table in tables.items():
            print(name, pd.DataFrame(table).to_string(), sep="\n", flush=True)
    print(f"\ntotal: {(time.perf_counter() - begun) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
