"""Which stages execute again when a key changes: one row for every leaf of the config's schema.

"Executes" means a result that was not in the store. What executes and then writes equal content stops the chain, so a
row depends on its two values; they are chosen so that equality does not hang on how a sum is rounded: the untrained
networks of this size label nothing with a threshold of 1, which keeps build_training_set of round 1 out of many rows.
"""

from __future__ import annotations

from dataclasses import dataclass

METHOD = "methods.semi_supervised"
LOCALIZER = "localizers.box_ratio"
# A dozen studies, one epoch of two steps: contracts only, a second for the whole chain.
MICRO = """\
size: smoke
data: {shards: 1}
phantom: {studies: 12, test_studies: 2, segmented: 6, boxed_share: 0.5, pixels: 32, slices: [16, 16]}
views:
  slice: {pixels: 32, centre: 1.0}
folds: {count: 2, select: 0.3}
localizers:
  presence: {training: {epochs: 1, epoch_steps: 2, batch_size: 8, warmup_steps: 0}}
  other: {extends: presence, training: {learning_rate: 1e-3}}
methods:
  semi_supervised:
    training: {epochs: 1, epoch_steps: 2, batch_size: 8, warmup_steps: 0}
    student: {training: {epochs: 1}}
    labels: {assign: all, localizer: presence}
    pseudo_labels: {evidence: fracture, localizer: presence, along_z: none, threshold: 1.0, at_least_one_run: false,
      target: hard, confidence: none, without_positives: keep}
    aggregate: {vertebra: [max], patient: [max], clip: [0.001], calibration: [none]}
score: {bootstrap: 10}
"""
TAUGHT_STUDY = "1.2.826.0.1.3680043.23278"  # from round 1 on; of the phantom above


@dataclass(frozen=True)
class Row:
    """``leaf`` changed from the value it has (with ``given``) to ``value``: exactly ``runs`` executes."""

    leaf: str  # a path of the schema; * stands for any method
    value: str
    runs: frozenset[str]
    given: str = ""  # further settings, in force before and after
    planned: bool = False  # the value changes which jobs there are, so they come from a dry run of their own
    perhaps: frozenset[str] = frozenset()  # what hangs on how this machine rounds
    slow: bool = False  # left to `make test-slow`: every phantom is made anew, every plan is a run of Snakemake
    under: str = ""  # the key below a leaf that is a block: .learning_rate

    @property
    def before(self) -> str:
        return self.given

    @property
    def after(self) -> str:
        leaf = (
            self.leaf.replace("methods.*", METHOD).replace("localizers.*", LOCALIZER).replace("arms.*", "arms.teacher")
        )
        return f"{self.given} {leaf}{self.under}={self.value}".strip()


def names(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


NOTHING = names("")
ENDING = names("aggregate_studies 0 1, write_submission, score")
ROUND_1 = names("train 0 1, predict_slices 0 1") | ENDING
TAUGHT = (
    names("train 0 0, predict_slices 0 0, pseudo_label 0 0") | ROUND_1
)  # equal pseudo-labels: no other training set
MODELS = names(
    "train 0 0, predict_slices 0 0, train 0 1, predict_slices 0 1"
)  # the models say it of themselves; they predict the same
LABELLED = names("pseudo_label 0 0, build_training_set 0 1") | ROUND_1
SETS = names("build_training_set 0 0, build_training_set 0 1")
FITTED = SETS | TAUGHT
TESTED = names("ingest test 0, list_shards test")
INGESTED = names("plan_cache, ingest train 0, list_shards train") | TESTED
PIXELS = INGESTED | names("index, label_slices, label_presence, audit_studies") | FITTED
MADE = names("make_phantom, inventory, assign_folds") | PIXELS
DRAWN = MADE - {"assign_folds"}  # other pixels of the same studies, and nothing else for the audit to say
READ = names("inventory, plan_cache, ingest train 0, ingest test 0, index, label_presence")
SHARED_OUT = (  # other files, the same pixels; both test studies stay in the first shard, whose content stays
    READ - {"ingest test 0"}
    | names("ingest train 1, ingest test 1, list_shards train, list_shards test, label_slices, audit_studies")
    | SETS
    | MODELS
)
EXCLUDED = names("audit_studies, assign_folds, build_training_set 0 0") | LABELLED
OTHER_FOLD = frozenset(name.replace(" 0 ", " 1 ") for name in FITTED)
INNER = (0, 1)
PARTS = frozenset(f"build_localizer_set 0 {inner}" for inner in INNER)  # of all localizers the same
LOCALIZING = {
    name: frozenset(f"{stage} {name} 0 {inner}" for stage in ("train", "predict_localizer") for inner in INNER)
    | {f"localize_slices {name} 0"}
    for name in ("presence", "other")
}
OWN_LABELS = names("assign_boxes 0") | FITTED
SOFT = f"{METHOD}.pseudo_labels.target=soft"
BY_LOCALIZER = f"{METHOD}.labels.assign=localized"
TEACHER = names("build_training_set 0 0, train 0 0, predict_slices 0 0")
TEACHERS_ENDING = names("aggregate_studies 0 0, write_submission, score")

ROWS = [
    Row("size", "demo", names("score")),
    Row("seed", "1", MADE),
    Row("data.root", "data/raw", READ | names("score"), planned=True),  # the same files, without a manifest
    Row("data.subset", "0.5", MADE - TESTED - {"make_phantom"}),
    Row("data.shards", "2", SHARED_OUT, planned=True),
    Row("phantom.studies", "13", MADE, slow=True),
    Row("phantom.test_studies", "3", MADE, slow=True),
    Row("phantom.fractured_share", "0.7", MADE - TESTED, slow=True),
    Row("phantom.boxed_share", "0.7", MADE - INGESTED, slow=True),
    Row("phantom.segmented", "7", MADE - TESTED, slow=True),
    Row("phantom.pixels", "36", MADE, slow=True),
    Row("phantom.slices", "[16, 17]", MADE, slow=True),
    Row("phantom.cleft_width", "[3.0, 4.0]", DRAWN, slow=True),
    Row("phantom.cleft_contrast", "0.5", DRAWN, slow=True),
    Row("phantom.displacement", "1.0", MADE, slow=True),
    Row("phantom.distractors", "4.0", MADE, slow=True),
    Row("phantom.streaks", "3.0", DRAWN, slow=True),
    Row("phantom.noise", "30", DRAWN, slow=True),
    Row("phantom.jpeg_lossless_share", "0.9", MADE - {"list_shards test"}, slow=True),  # read there to the same pixels
    Row("phantom.reversed_share", "0.9", MADE, slow=True),
    Row("phantom.large_share", "0.9", MADE, slow=True),
    Row("views.slice.pixels", "24", PIXELS),
    Row("views.slice.centre", "0.5", PIXELS),
    Row("views.slice.window_center", "300", PIXELS),
    Row("views.slice.window_width", "1000", PIXELS),
    Row("views.slice.codec", "jpeg-50", PIXELS),
    Row("views.slice.max_gb", "1", names("plan_cache")),
    Row(
        "views.slice.max_gb",
        "1.6e-4",  # smaller pixels fit, the view as configured does not
        PIXELS,
        given='views.slice.when_larger=step_down views.slice.step_down=[{"pixels":16}]',
    ),
    Row("views.slice.when_larger", "step_down", names("plan_cache")),
    Row("views.slice.step_down", '[{"codec":"jpeg-90"}]', names("plan_cache")),
    Row("labels.unfractured", "all", names("label_slices") | FITTED),
    Row("labels.weight_box", "2", names("label_slices") | FITTED),
    Row("labels.weight_unboxed", "0.5", names("label_slices") | FITTED),
    Row("labels.weight_negative", "0.5", names("label_slices") | FITTED, given="labels.unfractured=all"),
    Row("audit.exclude_codes", "[padding]", EXCLUDED),
    Row("audit.exclude_studies", f'{{"{TAUGHT_STUDY}":"blurred"}}', EXCLUDED),
    Row("folds.count", "3", names("assign_folds") | FITTED),
    Row("folds.select", "0.5", names("assign_folds") | FITTED),
    Row("folds.run", "[0, 1]", OTHER_FOLD, planned=True),
    Row("methods.*.targets", "truth", TEACHER | TEACHERS_ENDING, given=f"{METHOD}.rounds=1", planned=True),
    Row(
        "methods.*.view",
        "small",
        INGESTED | TAUGHT,
        given="views.small={extends: slice, pixels: 24}",
        planned=True,
    ),
    Row("methods.*.labels.assign", "localized", PARTS | LOCALIZING["presence"] | OWN_LABELS, planned=True),
    Row("methods.*.labels.localizer", "other", LOCALIZING["other"] | OWN_LABELS, given=BY_LOCALIZER, planned=True),
    Row("methods.*.labels.soft", "false", OWN_LABELS, given=BY_LOCALIZER, planned=True),
    Row("methods.*.labels.least", "0.01", OWN_LABELS, given=f"{BY_LOCALIZER} {METHOD}.labels.soft=false", planned=True),
    Row("methods.*.labels.rim", "1", OWN_LABELS, given=f"{METHOD}.labels.rim_weight=0.5", planned=True),
    Row("methods.*.labels.rim_weight", "0.5", OWN_LABELS, given=f"{METHOD}.labels.rim=1", planned=True),
    Row("methods.*.labels.between", "1", OWN_LABELS, planned=True),
    Row("methods.*.labels.presence", "localized", PARTS | LOCALIZING["presence"] | FITTED, planned=True),
    Row("methods.*.labels.share", "0.5", SETS | ROUND_1, planned=True),  # it holds the teacher's two studies
    Row("methods.*.rounds", "1", TEACHERS_ENDING, planned=True),
    Row("methods.*.rounds", "2", NOTHING, given=f"{METHOD}.rounds=3", planned=True, slow=True),
    Row("methods.*.init_from", "elsewhere/model.safetensors", TAUGHT, planned=True),
    Row("methods.*.network.name", "test_resnet", TAUGHT),
    Row("methods.*.network.weights", "elsewhere/weights.pth", TAUGHT, planned=True),
    Row(
        "methods.*.network.trainable",
        "head",
        TAUGHT,
        given=f"{METHOD}.network.weights=elsewhere/weights.pth",
        planned=True,
        slow=True,
    ),
    Row("methods.*.network.dropout", "0.5", TAUGHT),
    Row("methods.*.network.neighbours", "0", TAUGHT),
    Row("methods.*.network.colour", "learned", TAUGHT, given=f"{METHOD}.network.neighbours=0"),
    Row("methods.*.training.epochs", "2", TAUGHT),
    Row("methods.*.training.epoch_steps", "3", TAUGHT),
    Row("methods.*.training.batch_size", "10", TAUGHT),
    Row("methods.*.training.accumulate", "2", TAUGHT),
    Row("methods.*.training.learning_rate", "1e-3", TAUGHT),
    Row("methods.*.training.optimizer", "sgd", TAUGHT),
    Row("methods.*.training.weight_decay", "0.5", TAUGHT),
    Row("methods.*.training.schedule", "constant", TAUGHT),
    Row("methods.*.training.cycles", "2", TAUGHT),
    Row("methods.*.training.warmup_steps", "2", TAUGHT, given=f"{METHOD}.training.epoch_steps=4"),
    Row("methods.*.training.min_learning_rate", "4e-3", TAUGHT),
    Row("methods.*.training.ema", "0", TAUGHT),
    Row("methods.*.training.mixup", "0.5", TAUGHT),
    Row("methods.*.training.loss", "bce", TAUGHT),
    Row("methods.*.training.focal_gamma", "1.0", MODELS),
    Row("methods.*.training.patient_term", "true", TAUGHT),
    Row("methods.*.training.presence_weight", "0.5", TAUGHT),
    Row("methods.*.training.presence_weight", "0", FITTED, planned=True),
    Row("methods.*.training.any_fracture_weight", "0.5", TAUGHT),
    Row("methods.*.training.sampling", "natural", TAUGHT),
    Row("methods.*.training.positive_share", "0.75", TAUGHT),
    Row("methods.*.training.patience", "1", MODELS),
    Row("methods.*.training.keep", "best", MODELS),
    Row("methods.*.training.precision", "fp32", MODELS),
    Row("methods.*.training.clip_gradient", "0.01", TAUGHT),
    Row("methods.*.training.threads", "2", MODELS, perhaps=TAUGHT - MODELS),
    Row("methods.*.training.augment_on", "device", TAUGHT),
    Row("methods.*.training.compile", "true", MODELS, perhaps=TAUGHT - MODELS, slow=True),  # a minute of compiling
    Row("methods.*.augment.probability", "1.0", TAUGHT),
    Row("methods.*.augment.crop_scale", "0.5", TAUGHT),
    Row("methods.*.augment.horizontal_flip", "false", TAUGHT),
    Row("methods.*.augment.vertical_flip", "true", TAUGHT),
    Row("methods.*.augment.rotation", "90", TAUGHT),
    Row("methods.*.augment.rgb_shift", "20", TAUGHT),
    Row("methods.*.augment.clahe", "2.0", TAUGHT),
    Row("methods.*.augment.brightness", "0.5", TAUGHT),
    Row("methods.*.augment.shift_scale", "0.5", TAUGHT),
    Row("methods.*.augment.cutout", "0.5", TAUGHT),
    Row("methods.*.teacher", "{training: {learning_rate: 1e-3}}", TAUGHT),
    Row(
        "methods.*.student",
        "{init_from: previous_round, training: {epochs: 1, learning_rate: 1e-3}, augment: {probability: 0.4}}",
        ROUND_1,
    ),
    Row(
        "methods.*.members",
        "[{training: {learning_rate: 1e-3}}]",
        TAUGHT - names("train 0 0, train 0 1") | names("train 0 0 0, train 0 1 0"),
        planned=True,
    ),
    Row("methods.*.continued", "[{training: {epochs: 1}}]", TAUGHT | names("train 0 1 0"), planned=True),
    Row(
        "methods.*.pseudo_labels.evidence",
        "presence",
        PARTS | LOCALIZING["presence"] | LABELLED,
        given=SOFT,
        planned=True,
    ),
    Row(
        "methods.*.pseudo_labels.localizer",
        "other",
        LOCALIZING["other"] | LABELLED,
        given=f"{SOFT} {METHOD}.pseudo_labels.evidence=presence",
        planned=True,
    ),
    Row("methods.*.pseudo_labels.along_z", "smooth", LABELLED, given=SOFT),
    Row("methods.*.pseudo_labels.smooth_slices", "3", LABELLED, given=f"{SOFT} {METHOD}.pseudo_labels.along_z=smooth"),
    Row("methods.*.pseudo_labels.positives", "top", LABELLED),
    Row("methods.*.pseudo_labels.top_slices", "2", LABELLED, given=f"{METHOD}.pseudo_labels.positives=top"),
    Row("methods.*.pseudo_labels.target", "soft", LABELLED),
    Row("methods.*.pseudo_labels.confidence", "margin", LABELLED),
    Row("methods.*.pseudo_labels.keep_share", "0.5", names("pseudo_label 0 0")),  # there is one study of each level
    Row(  # another source in the training set, and the same labels: the boxed studies have one fracture each
        "methods.*.pseudo_labels.boxed_studies",
        "united",
        names("pseudo_label 0 0, build_training_set 0 1, train 0 1"),
    ),
    Row("methods.*.pseudo_labels.threshold", "0.01", LABELLED),
    Row("methods.*.pseudo_labels.agree_with_study", "false", LABELLED, given=f"{METHOD}.pseudo_labels.threshold=0.01"),
    Row("methods.*.pseudo_labels.at_least_one_run", "true", LABELLED),
    Row("methods.*.pseudo_labels.run_fraction", "1.0", LABELLED, given=f"{METHOD}.pseudo_labels.at_least_one_run=true"),
    Row("methods.*.pseudo_labels.run_slices", "1", LABELLED, given=f"{METHOD}.pseudo_labels.at_least_one_run=true"),
    Row("methods.*.pseudo_labels.without_positives", "drop", LABELLED),
    Row("methods.*.pseudo_labels.weight", "0.5", LABELLED),
    Row("methods.*.aggregate.evidence", "[localized]", ENDING),
    Row("methods.*.aggregate.vertebra", "[mean_of_5]", ENDING),
    Row("methods.*.aggregate.patient", "[noisy_or]", ENDING),
    Row("methods.*.aggregate.clip", "[0.49]", ENDING),
    Row("methods.*.aggregate.calibration", "[platt]", ENDING),
    Row("methods.*.aggregate.prior_strength", "2", names("aggregate_studies 0 1")),
    Row("methods.*.aggregate.least_select", "9", names("aggregate_studies 0 1")),
    Row(
        "submission.method",
        "other",
        TEACHERS_ENDING,
        given="methods.other={extends: semi_supervised, rounds: 1}",
        planned=True,
    ),
    Row("submission.normalisation", "pooled", ENDING),
    Row("submission.clip", "0.49", names("write_submission")),
    Row("submission.prior_clip", "0.1", names("write_submission, score")),
    Row("score.bootstrap", "20", names("score")),
    Row("time_budget", "1h", NOTHING),
    Row("resume_from", "[elsewhere]", NOTHING),
    Row("store.copy_mb", "1", NOTHING),
    Row("store.max_gb", "1", NOTHING),
    Row("store.key_versions", "[torch]", MODELS),
    Row("runtime.device", "cpu", NOTHING),
    Row("runtime.devices", "2", NOTHING),
    Row("runtime.checkpoint_minutes", "1", NOTHING),
    Row("runtime.checkpoint_steps", "1", NOTHING),
    Row("runtime.loader_workers", "1", NOTHING),
    Row("runtime.pixels_in", "device", NOTHING),
    Row("tracking.mode", "offline", NOTHING),
    Row("tracking.project", "other", NOTHING),
    Row("tracking.ids", "hashed", NOTHING),
    Row("tracking.images", "1", NOTHING),
]

KINDS = ("slice", "crop", "volume")
ONE_VALUE = {"methods.*.family", *(f"views.{kind}.kind" for kind in KINDS)}

# The evidence has a chain of its own: three arms, of which each can be another method or another round.
EVIDENCE = """\
size: smoke
data: {shards: 1}
phantom: {studies: 12, test_studies: 6, segmented: 6, boxed_share: 0.5, pixels: 32, slices: [16, 16]}
views:
  slice: {pixels: 32, centre: 1.0}
folds: {count: 2, select: 0.3}
methods:
  presence:
    training: {epochs: 1, epoch_steps: 1}
  semi_supervised:
    training: &training {epochs: 1, epoch_steps: 2, batch_size: 8, warmup_steps: 0}
    student: {training: *training}
  other: {extends: truth}
score: {bootstrap: 10}
"""
# The bundle and its evaluation, on the studies that the fold holds out. Only the manifest changes with the sensitivity:
# weights and wheel stay, and equal probabilities are scored by the new name.
EVALUATED = names("predict_with_bundle, score_bundle")
BUNDLED = [
    Row("bundle.sensitivity", "0.5", names("write_bundle") | EVALUATED),
    Row("evaluate.bundle", "elsewhere/bundle", EVALUATED, planned=True),
]
# The error analysis, of the method and of the submission; only its own keys, whatever it is made from is above.
ANALYSED = [
    Row("score.bootstrap", "20", names("analyse_errors")),
    Row("size", "demo", names("analyse_errors")),
    Row("submission.clip", "0.49", names("write_submission, analyse_errors")),
    Row("submission.prior_clip", "0.1", names("write_submission, analyse_errors")),
    Row("submission.normalisation", "pooled", names("aggregate_studies 0 1, write_submission, analyse_errors")),
]
# The comparison, of two methods of which only the student differs. Another reference or order trains nothing.
PAIR = (
    MICRO
    + """\
compare: {methods: [semi_supervised, other]}
"""
).replace(
    "methods:\n  semi_supervised:",
    "methods:\n  other: {extends: semi_supervised, student: {training: {learning_rate: 1e-3}}}\n  semi_supervised:",
)
COMPARED = [
    Row("compare.methods", "[semi_supervised]", names("compare_methods"), planned=True),
    Row("compare.reference", "other", names("compare_methods")),
    Row("compare.published", "{other: {score: 0.5, where: elsewhere}}", names("compare_methods")),
    Row("score.bootstrap", "20", names("compare_methods")),
    Row("submission.clip", "0.49", names("compare_methods")),
]
# The report. The cases of so small a cohort differ with every key that chooses them.
REPORTED = [
    Row("report.cases", "0", names("choose_cases, explain_cases, gather_studies, write_report")),
    Row("report.studies", "1", names("choose_cases, gather_studies, write_report")),
    Row("report.images", "false", names("gather_studies, write_report")),
    Row("report.max_mb", "0.01", names("gather_studies, write_report")),
    Row("report.uids", "numbered", names("write_report")),
    Row("size", "demo", names("score, analyse_errors, write_pseudo_quality, write_report")),
    Row("report.comparison", "true", names("compare_methods, write_report"), planned=True,
        given="compare.methods=[semi_supervised]"),
]  # fmt: skip
WEIGHED = names("weigh_evidence")
ARMS = [
    Row("evidence.arms.*.method", "truth", WEIGHED, planned=True),
    Row("evidence.arms.*.round", "1", WEIGHED, planned=True),
    Row("evidence.arms.*.says", "boxes", WEIGHED),
    Row("evidence.compare", "[[truth, student]]", WEIGHED),
    Row("evidence.way", "[student, truth]", WEIGHED),
]

# One of the localizers is changed, and only its own chain executes. Their blocks repeat the keys of a method's.
LOCALIZED = """\
size: smoke
data: {shards: 1}
phantom: {studies: 12, test_studies: 2, segmented: 8, boxed_share: 0.5, pixels: 32, slices: [16, 16]}
views:
  slice: {pixels: 32, centre: 1.0}
folds: {count: 2, select: 0.3}
localizers:
  presence:
    training: {epochs: 1, epoch_steps: 2, batch_size: 8, warmup_steps: 0}
  segmentation:
    network: {cube: 16, channels: [2, 4]}
    training: {epochs: 1, epoch_steps: 2, batch_size: 2, warmup_steps: 0}
score: {bootstrap: 10}
"""
RELEARNT = names(
    "train box_ratio 0 0, train box_ratio 0 1, predict_localizer box_ratio 0 0, predict_localizer box_ratio 0 1, "
    "localize_slices box_ratio 0, compare_localizers"
)
LOCALIZERS = ("box_ratio", "presence", "presence_convnext", "presence_efficientnetv2", "presence_nine", "segmentation")
PARTED = frozenset(
    name
    for localizer in LOCALIZERS
    for inner in range(3)
    for name in (
        f"build_localizer_set 0 {inner}",
        f"train {localizer} 0 {inner}",
        f"predict_localizer {localizer} 0 {inner}",
        f"localize_slices {localizer} 0",
    )
)
LOCALIZER_ROWS = [
    Row("localizers.*.family", "slice_cnn", RELEARNT, given="methods.cnn_lstm.labels.localizer=segmentation"),
    Row(
        "localizers.*.view",
        "small",
        INGESTED | RELEARNT,
        given="views.small={extends: slice, pixels: 24}",
        planned=True,
    ),
    Row("localizers.*.network", "test_resnet", RELEARNT, under=".name"),
    Row("localizers.*.training", "1e-3", RELEARNT, under=".learning_rate"),
    Row("localizers.*.augment", "90", RELEARNT, under=".rotation"),
    Row("localization.inner", "3", PARTED | {"compare_localizers"}, planned=True, slow=True),
]

# All views of a config: crops, which a localizer places, and volumes.
VIEWED = """\
size: smoke
data: {shards: 1}
phantom: {studies: 12, test_studies: 2, segmented: 6, boxed_share: 0.5, pixels: 32, slices: [16, 16]}
views:
  slice: {pixels: 32, centre: 1.0}
  crop: {pixels: 16, localizer: box_ratio}
  volume: {pixels: 16, spacing: 12.0}
folds: {count: 2, select: 0.3}
localizers:
  presence: {training: {epochs: 1, epoch_steps: 2, batch_size: 8, warmup_steps: 0}}
  other: {extends: box_ratio, training: {learning_rate: 1e-3}}
"""
PLAN_CROPS, PLAN_VOLUMES = names("plan_crops 0"), names("plan_volumes")
CROPS = names("plan_crops 0, ingest_crops train 0 0, ingest_crops test 0 0")
VOLUMES = names("plan_volumes, ingest_volumes train 0, ingest_volumes test 0")
VIEW_ROWS = [
    Row(
        "views.crop.localizer",
        "other",
        LOCALIZING["other"] | names("place_crops 0"),
        planned=True,
        perhaps=CROPS,  # untrained localizers may place the same
    ),
    Row("views.crop.pixels", "24", names("place_crops 0") | CROPS),
    Row("views.crop.margin", "0.5", names("place_crops 0"), perhaps=CROPS),
    Row("views.crop.window_center", "300", CROPS),
    Row("views.crop.window_width", "1000", CROPS),
    Row("views.crop.codec", "jpeg-50", CROPS),
    Row("views.crop.max_gb", "1", PLAN_CROPS),
    Row("views.crop.when_larger", "step_down", PLAN_CROPS),
    Row("views.crop.step_down", '[{"codec":"jpeg-90"}]', PLAN_CROPS),
    Row("views.volume.pixels", "20", VOLUMES, slow=True),
    Row("views.volume.spacing", "10.0", VOLUMES),
    Row("views.volume.clamp", "[-500, 1900]", VOLUMES, slow=True),
    Row("views.volume.codec", "jpeg-50", VOLUMES, slow=True),
    Row("views.volume.max_gb", "1", PLAN_VOLUMES),
    Row("views.volume.when_larger", "step_down", PLAN_VOLUMES, slow=True),
    Row("views.volume.step_down", '[{"codec":"jpeg-90"}]', PLAN_VOLUMES, slow=True),
]
