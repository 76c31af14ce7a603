# What the rules share. Only this file runs code while the workflow is read; everything it runs is in src/cspine/.
from pathlib import Path

from snakemake.exceptions import WorkflowError

from cspine.blocks import labels_round
from cspine.bundles.unfit import why_unfit
from cspine.errors import CspineError
from cspine.layers import (
    in_member,
    in_part,
    last_part,
    localizers_compared,
    localizers_to_judge,
    taught_by_localizer,
    taught_presence,
    teacher_of,
)
from cspine.methods.registry import UNITS, family_of, unit_of
from cspine.report.layout import ERRORS, FIGURES, FORMS
from cspine.workflow import Plan

try:
    PLAN = Plan(workflow, config)
except CspineError as error:
    raise WorkflowError(str(error)) from None

config = PLAN.config
METHODS = sorted(config["methods"])
LOCALIZERS = sorted(config["localizers"])
OF_UNIT = {unit: [n for n in METHODS if unit_of(config["methods"][n]["family"]) == unit] for unit in UNITS}
SUBMITTED = config["submission"]["method"]
SHARDS = range(config["data"]["shards"])
COHORTS = ["train", "test"]


# Stopped by a signal to the whole group, the shell waits until its job has saved.
shell.prefix("set -euo pipefail; trap : TERM; ")


wildcard_constraints:
    method="|".join(METHODS),
    localizer="|".join(LOCALIZERS) or "-",
    inner=r"\d+",
    fold=r"\d+",
    round=r"\d+",
    part=r"\d+",
    member=r"\d+",
    shard=r"\d+",
    cohort="|".join(COHORTS),
    view="|".join(config["views"]),


def block_of(stage):
    """params: the one config block of a rule, as canonical JSON."""
    return lambda wildcards: PLAN.block_json(stage, **wildcards)


def code_of(stage):
    """params: the fingerprint of the code behind a rule, so that an edit in src/ is a reason to run."""
    return lambda wildcards: PLAN.code(stage, **wildcards)


def at(wildcards):
    """params: the wildcards, kept with the result so that its config block can be found again."""
    return ",".join(f"{name}={value}" for name, value in wildcards.items())


def at_where_any(wildcards):
    """params: `--at …` of a rule of which one use has wildcards and the other none."""
    return f"--at {at(wildcards)}" if wildcards.keys() else ""


def option(name):
    """params: `--name path …` when the rule has an input of this name, else nothing."""
    return lambda wildcards, input: " ".join([f"--{name}", *PLAN.listed(input.get(name))]) if input.get(name) else ""


def any_of(names):
    """A wildcard's constraint: one of these names; none at all where there are none."""
    return "|".join(names) or "-"


def methods_of(*units):
    """A wildcard's constraint: the methods whose examples are slices, vertebrae or studies."""
    return any_of([name for unit in units for name in OF_UNIT[unit]])


def views_of(*kinds):
    """A wildcard's constraint: the views of these kinds."""
    return any_of([name for name, block in config["views"].items() if block["kind"] in kinds])


def shards(view, cohorts=COHORTS, suffix=".parquet"):
    """The cache files of a view."""
    return [f"results/cache/{view}/{cohort}/shard-{shard}{suffix}" for cohort in cohorts for shard in SHARDS]


def view_of(method):
    """The form of the pixels a method reads."""
    return config["methods"][method]["view"]


def last_round(method):
    """The round whose probabilities count."""
    return config["methods"][method]["rounds"] - 1


def folds_of(method, name, round=None):
    """One file per fold that is run, of the last round unless another is named."""
    number = last_round(method) if round is None else round
    return expand(f"results/{method}/fold-{{fold}}/round-{number}/{name}", fold=config["folds"]["run"])


def of_rounds(name, members=False):
    """A file of every round of the submitted method: of each round all folds run, of each fold all members if wanted."""
    many = len(config["methods"][SUBMITTED]["members"]) if members else 0
    inner = [f"members/{member}/{name}" for member in range(many)] or [name]
    rounds = range(last_round(SUBMITTED) + 1)
    return [
        path
        for number in rounds
        for fold in config["folds"]["run"]
        for one in inner
        for path in [f"results/{SUBMITTED}/fold-{fold}/round-{number}/{one}"]
    ]


def last_pseudo_labels(method):
    """The last pseudo-labels that a method is taught, of each fold run; none where it is taught none."""
    return folds_of(method, "pseudo_labels.parquet", last_round(method) - 1) if last_round(method) > 0 else []


def browsed_view(method):
    """The view whose slices the report shows: the method's own where it is one of whole slices."""
    own = view_of(method)
    return own if config["views"][own]["kind"] == "slice" else "slice"


def localizations_of(method):
    """What a method's localizer says in each fold run, where the method asks it for anything."""
    localizer = config["methods"][method].get("labels", {}).get("localizer", "none")
    asked = has_own_labels(method) or localizer in localizers_of(method)
    folds = config["folds"]["run"] if asked else []
    return [f"results/localization/{localizer}/fold-{fold}.parquet" for fold in folds]


def of_compared(name):
    """One file per compared method and fold run, all folds of the first method first."""
    return [path for method in config["compare"]["methods"] for path in folds_of(method, name)]


def models_compared():
    """The models of the compared methods, all folds of the first method first, a fold's members one after the other."""
    methods, folds = config["compare"]["methods"], config["folds"]["run"]
    return [path for method in methods for fold in folds for path in models_of(method, fold)]


def localizer_models_compared():
    """The inner models of every localizer that a compared method needs, as ``of_localizers`` has them."""
    needed = localizers_compared(config)
    return [path for path in of_localizers("model.safetensors", inner=True) if path.split("/")[2] in needed]


def of_arms(name):
    """One file per arm of the evidence and fold run, all folds of the first arm first."""
    arms = config["evidence"]["arms"].values()
    return [path for arm in arms for path in folds_of(arm["method"], name, arm["round"])]


def place_of(view, fold):
    """Where the cache of a view lies that a fold reads: crops are a fold's own, because its localizer places them."""
    return f"{view}/fold-{fold}" if config["views"][view]["kind"] == "crop" else view


def shards_of(view, fold, cohorts=COHORTS):
    """The cache files of a view as a fold reads it."""
    return shards(place_of(view, fold), cohorts)


def lists_of(view, fold, cohorts=COHORTS):
    """The same files, a list of them for each cohort."""
    return [f"results/cache/{place_of(view, fold)}/{cohort}/shards.list" for cohort in cohorts]


def shards_of_folds(view):
    """The cache files of a view as the folds run read it, all folds of one after the other; other than crops once."""
    return list(dict.fromkeys(path for fold in config["folds"]["run"] for path in shards_of(view, fold)))


def all_views():
    """The cache files of every view of the config; of crops those of the folds that are run."""
    return [path for view in config["views"] for path in shards_of_folds(view)]


def models_in(folder, method):
    """The models in a round's folder: of all members, or the only one."""
    members = range(len(config["methods"][method]["members"]))
    return [f"{folder}/members/{member}/model.safetensors" for member in members] or [f"{folder}/model.safetensors"]


def models_of(method, fold):
    """The models of a method and fold whose probabilities count, member by member."""
    return models_in(f"results/{method}/fold-{fold}/round-{last_round(method)}", method)


def models_to_predict(wildcards):
    """The same of a round."""
    return models_in(f"results/{wildcards.method}/fold-{wildcards.fold}/round-{wildcards.round}", wildcards.method)


def localizers_of(method):
    """The localizers that a method asks before it can judge a study, those of its crops included."""
    return localizers_to_judge(config, method)


def made_in(wildcards, round, name):
    """A file of a round of a method and fold; of a teacher that several methods share, the first method's."""
    method = wildcards.method if round > 0 else teacher_of(config["methods"], wildcards.method)
    return f"results/{method}/fold-{wildcards.fold}/round-{round}/{name}"


def weights_file(wildcards):
    """The local weights file of a method's network, when its config names one."""
    name = block_of_round(wildcards)["network"]["weights"] if part_number(wildcards) == 0 else "none"
    return (
        [] if name in ("none", "hub") else existing(name, f"methods.{wildcards.method}", "network.weights", "none, hub")
    )


def model_to_start_from(wildcards):
    """What the weights of a round start from, when its config names a model, a checkpoint or the end of a training."""
    name = block_of_round(wildcards)["init_from"] if part_number(wildcards) == 0 else "none"
    if name == "none":
        return []
    if name == "previous_round":
        own = f"members/{wildcards.member}/" if "member" in wildcards.keys() else ""
        return made_in(wildcards, int(wildcards.round) - 1, f"{own}model.safetensors")
    if name in METHODS:
        return f"results/{name}/fold-{wildcards.fold}/round-{last_round(name)}/model.safetensors"
    others = f"none, previous_round, a method ({', '.join(METHODS)})"
    return existing(name, f"methods.{wildcards.method}", "init_from", others)


def part_before(wildcards):
    """Where the part of a training ended that this one continues; nothing before the first."""
    number = part_number(wildcards)
    folder = f"results/{wildcards.method}/fold-{wildcards.fold}/round-{wildcards.round}/parts/{number - 1}"
    return f"{folder}/state.safetensors" if number > 0 else []


def existing(name, place, key, others):
    """``name`` when there is such a file; ``place`` (methods.<method>) is whose ``key`` names it."""
    if not Path(name).is_file():
        raise WorkflowError(f"{place}.{key}: no file {name}; expected {others} or the path of a file")
    return name


def localizer_of(wildcards):
    """A localizer's block."""
    return config["localizers"][wildcards.localizer]


def localizer_weights(wildcards):
    """The local weights file of a localizer's network, when its config names one."""
    name, place = localizer_of(wildcards)["network"]["weights"], f"localizers.{wildcards.localizer}"
    return [] if name in ("none", "hub") else existing(name, place, "network.weights", "none, hub")


def inner_models(name):
    """input: one file per inner model of a localizer and fold."""
    parts = range(config["localization"]["inner"])
    return lambda wildcards: expand(
        f"results/localization/{wildcards.localizer}/fold-{wildcards.fold}/inner-{{inner}}/{name}", inner=parts
    )


def of_localizers(name, inner=False):
    """One file per localizer and fold that is run (and inner model), localizers first."""
    folder = "results/localization/{localizer}/" + ("fold-{fold}/inner-{inner}/" if inner else "") + name
    parts = range(config["localization"]["inner"])
    return expand(folder, localizer=LOCALIZERS, fold=config["folds"]["run"], **({"inner": parts} if inner else {}))


def masks_for(wildcards):
    """The voxels of the masks, for a family of localizers that is taught them: a rule of that family writes them."""
    block = localizer_of(wildcards)
    return mask_shards(block["view"]) if family_of(block["family"]).taught_voxels else []


def mask_shards(view):
    """The labelled voxels of the segmented studies in the geometry of a view."""
    return [f"results/masks/{view}/shard-{shard}.parquet" for shard in SHARDS]


def block_of_round(wildcards):
    """A method's block as it is in a round, of a member as that has it."""
    block = PLAN.method(wildcards.method, int(wildcards.round))
    return in_member(block, int(wildcards.member)) if "member" in wildcards.keys() else block


def part_number(wildcards):
    """Which part of a round's training is made: the one in the outputs' paths, else the last."""
    return int(wildcards.get("part", last_part(block_of_round(wildcards))))


def part_of_round(wildcards):
    """A method's block as it is in a part of a round's training."""
    return in_part(block_of_round(wildcards), part_number(wildcards))


def presence_for(wildcards):
    """The presence labels, for a round that is taught them as its targets or beside them."""
    block = block_of_round(wildcards)
    wanted = block["targets"] == "presence" or taught_presence(block) == "masks"
    return "results/labels/presence.parquet" if wanted else []


def vertebrae_for(wildcards):
    """Where the vertebrae of each study lie, for a method that judges them one by one."""
    placed = f"results/{wildcards.method}/fold-{wildcards.fold}/vertebrae.parquet"
    return placed if wildcards.method in OF_UNIT["vertebra"] else []


def vertebrae_of(method):
    """The same of every fold run."""
    folds = config["folds"]["run"] if method in OF_UNIT["vertebra"] else []
    return [f"results/{method}/fold-{fold}/vertebrae.parquet" for fold in folds]


def crops_of(method):
    """Where the crops that it reads lie, of every fold run; none of a method of another view."""
    view = view_of(method)
    folds = config["folds"]["run"] if config["views"][view]["kind"] == "crop" else []
    return [f"results/crops/{view}/fold-{fold}.parquet" for fold in folds]


def has_own_labels(method):
    """Whether a method's slice labels differ from the box rule's; vertebrae and studies are taught no slices."""
    if method not in OF_UNIT["slice"]:
        return False
    block = config["methods"][method]
    labels = block["labels"]
    changed = (
        labels["assign"] == "localized" or labels["between"] > 0 or (labels["rim"] > 0 and labels["rim_weight"] != 1)
    )
    return block["targets"] == "fracture" and changed


def labels_for(wildcards):
    """The slice labels a method is taught in a fold: its own, or the box rule's."""
    own = f"results/{wildcards.method}/fold-{fold_of(wildcards)}/slice_labels.parquet"
    return own if has_own_labels(wildcards.method) else "results/labels/slices.parquet"


def localization_for(wildcards):
    """What a method's localizer says, for the boxes: of models that have not seen the fold's held-out studies."""
    labels = config["methods"][wildcards.method]["labels"]
    return localization_of(labels["localizer"], wildcards) if labels["assign"] == "localized" else []


def localization_for_targets(wildcards):
    """The same for a round that is taught what the localizer sees, as its targets or beside them."""
    block = block_of_round(wildcards)
    return localization_of(block["labels"]["localizer"], wildcards) if taught_by_localizer(block) else []


def studies_for(wildcards):
    """The studies' labels, for a method that is taught them in their slices, or taught a share of the studies."""
    block = config["methods"][wildcards.method]
    wanted = block["targets"] in ("study", "shown") or block["labels"]["share"] < 1
    return "results/index/studies.parquet" if wanted else []


def localization_for_pseudo_labels(wildcards):
    """The same for pseudo-labels, where they ask which vertebrae a slice shows."""
    pseudo = config["methods"][wildcards.method]["pseudo_labels"]
    return localization_of(pseudo["localizer"], wildcards) if pseudo["evidence"] != "fracture" else []


def localization_of(localizer, wildcards):
    """The table of a localizer and a fold."""
    return f"results/localization/{localizer}/fold-{fold_of(wildcards)}.parquet"


def fold_of(wildcards):
    """The fold in the outputs' paths, else the first that is run."""
    return wildcards.get("fold", config["folds"]["run"][0])


def bundle_to_evaluate(wildcards):
    """The manifest of the bundle that the config names; the workflow's own is made first."""
    place = Path(config["evaluate"]["bundle"])
    manifest = place / "bundle.json"
    if not manifest.is_file() and str(place) != "results/bundle":
        raise WorkflowError(
            f"evaluate.bundle: no bundle.json in {place}; expected a folder that `snakemake bundle` made"
        )
    return str(manifest)


def models_to_bundle(wildcards):
    """The submitted method's models; what `cspine predict` cannot do is said before anything is made."""
    if why := why_unfit(config["methods"], SUBMITTED):
        raise WorkflowError(why)
    return folds_of(SUBMITTED, "model.safetensors")


def analysed(wildcards):
    """The method whose errors are analysed; without one in the path the submitted one, as it was submitted."""
    return wildcards.get("method", SUBMITTED)


def submission_to_analyse(wildcards):
    """The submission, where it is analysed and not a method."""
    return [] if "method" in wildcards.keys() else "results/submission.csv"


def truth_for(wildcards):
    """params: `--truth …` for a method that is taught the phantom's hidden truth."""
    taught = PLAN.method(wildcards.method)["targets"] == "truth"
    return "--truth data/phantom_truth/slices.parquet" if taught else ""


def pseudo_labels_before(wildcards):
    """The pseudo-labels a round is taught: those of the round before; none for the teacher."""
    number = int(wildcards.round)
    before = f"results/{wildcards.method}/fold-{wildcards.fold}/round-{number - 1}/pseudo_labels.parquet"
    return before if number > 0 else []


def quality_of(wildcards):
    """How good the pseudo-labels are of every round and fold run."""
    rounds = range(last_round(wildcards.method) + 1)
    return [path for number in rounds for path in folds_of(wildcards.method, "pseudo_quality.parquet", number)]


def labels_shown(name, later=0):
    """A file of the fold and round whose pseudo-labels a method's page shows, or of the round after it."""

    def path(wildcards):
        number = labels_round(config, wildcards.method) + later
        made = number <= last_round(wildcards.method)
        return f"results/{wildcards.method}/fold-{config['folds']['run'][0]}/round-{number}/{name}" if made else []

    return path


onstart:
    PLAN.begin(workflow)


def before_planning():
    """When all rules are read: take away the outputs that do not match the present."""
    try:
        PLAN.forget_stale_outputs(workflow)
    except CspineError as error:
        raise WorkflowError(str(error)) from None


onerror:
    PLAN.end(workflow)
