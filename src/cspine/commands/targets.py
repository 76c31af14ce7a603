"""What can be asked for: the answer to a bare ``snakemake --cores 4``."""

from __future__ import annotations

TARGETS = {
    "submission": "the whole chain: results/submission.csv and its score",
    "audit": "what is wrong with the data, and what a run will do about it: results/audit.html",
    "plan": "what the whole run will take: hours, GB, sessions, Kaggle's limits; measured in small, in minutes",
    "cache": "read the CT once: pixel cache and index, before any training",
    "views": "every view of the config: slices, crops around the spine (with its localizer), volumes",
    "bundle": "the models with all that `cspine predict` needs elsewhere: results/bundle/",
    "evaluate": "a bundle's models on labelled studies that are new to them (evaluate.bundle); trains nothing",
    "compare": "every method of compare.methods on the same studies, in one table: results/comparison.html",
    "report": "what the run found, on one page with its studies to browse: results/report.html",
    "error_analysis": "what the submitted method gets wrong, at which level, in which studies",
    "pseudo_quality": "how good the pseudo-labels are, by boxes that were not shown; pseudo_pages: doubtful ones",
    "localizers": "which vertebrae a slice shows: all localizers of the config against masks they have not seen",
    "evidence": "does the method work? On its own phantom, in experiments/evidence/ (half an hour on 2 cores)",
    "ablation": "what does each improvement buy? Likewise, in experiments/ablation/ (an hour and a half on 2 cores)",
    "claims": "do pseudo-labels help, does localisation? Likewise, in experiments/claims/ (an hour on 2 cores)",
    "results/<method>/score.txt": "one method's score; the methods are the blocks of config.yaml",
    "results/…": "any other result by its path, e.g. results/labels/slices.parquet",
}


def main() -> int:
    """Print the targets and how to ask for one."""
    width = max(map(len, TARGETS))
    print("Nothing was asked for. Ask with  snakemake --cores 4 TARGET,  add -n to see what would run.\n")
    for name, text in TARGETS.items():
        print(f"  {name:<{width}}  {text}")
    print("\nOther sizes and the real data: --configfile presets/rsna.yaml; every key: config.yaml")
    return 0
