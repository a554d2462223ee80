"""Lists the scenarios: `python -m scenarios`."""

import ast
from pathlib import Path


def scenarios() -> dict[str, str]:
    """Names of the scenarios, with the sentence that each begins with."""
    files = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return {path.stem: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0] for path in files}


def main() -> None:
    for name, sentence in scenarios().items():
        print(f"{name:14} {sentence}")
    print("""
python -m scenarios.signup runs one, on a Redis of its own that ends with it; `make` has put what it needs into .venv, so
once: . .venv/bin/activate. With workers beside it, of which you may kill one while it works:

    export EVENTBUS_URL=redis://localhost:6379 EVENTBUS_PREFIX=scenarios.
    python -m eventbus run scenarios.signup:bus --workers 2 &
    python -m scenarios.signup

What they write stands in the current directory, or in the one that SCENARIO_FOLDER names.""")


if __name__ == "__main__":
    main()
