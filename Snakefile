# From a Kaggle folder to submission.csv. This file is a table of contents: helpers are in workflow/rules/common.smk,
# every rule calls the function of the same name in src/cspine/stages/, and every key it may use is in config.yaml.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.19")
sys.path.insert(0, str(Path(workflow.basedir) / "src"))
from cspine.workflow import targets_of


configfile: "config.yaml"


# An experiment brings its own sizes and works in a folder of its own: it never touches the results of another run.
for experiment in {"evidence", "ablation", "claims"} & targets_of(sys.argv[1:]):

    configfile: f"presets/{experiment}.yaml"

    workdir: f"experiments/{experiment}"


include: "workflow/rules/common.smk"


localrules:
    targets,


rule targets:
    """Say what can be asked for (this is what a bare `snakemake --cores 4` does)."""
    log:
        "logs/targets.txt",
    conda:
        "envs/tables.yaml"
    shell:
        "python -m cspine targets 2> {log}"


include: "workflow/rules/targets.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/localize.smk"
include: "workflow/rules/views.smk"
include: "workflow/rules/vertebrae.smk"
include: "workflow/rules/study.smk"
include: "workflow/rules/errors.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/pseudo_quality.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/bundle.smk"
include: "workflow/rules/evaluate.smk"


if "evidence" in config:

    include: "workflow/rules/evidence.smk"


before_planning()
