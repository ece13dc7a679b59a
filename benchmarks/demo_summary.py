"""The last lines of ``make demo``: both accuracies and the picture's path."""

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Print both accuracies and the path."""
    evaluation = json.loads((folder / "evaluation.json").read_text())["evaluations"][0]
    picture = json.loads((folder / "picture.json").read_text())["files"][0]

    def percent(accuracy: dict[str, float]) -> str:
        return f"{100 * accuracy['mean']:.1f} % (± {100 * accuracy['std']:.1f})"

    print()
    print(f"Networks trained on the 10 distilled digits:  {percent(evaluation['accuracy'])}")
    print(f"Networks trained on 10 random real digits:    {percent(evaluation['random_subset'])}")
    print(f"Picture: {picture}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
