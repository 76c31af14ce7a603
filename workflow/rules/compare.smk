# Every method of `compare.methods` in one table: on the same studies, with paired differences, and what each took.


localrules:
    compare_methods,


rule compare_methods:
    """Losses, AUCs and chosen points of all methods beside the best constant and the reference, and their costs."""
    input:
        studies=rules.index.output.studies,
        folds=rules.assign_folds.output.folds,
        study_probabilities=of_compared("study_probabilities.parquet"),
        predictions=of_compared("predictions.parquet"),
        models=models_compared(),
        localizer_models=localizer_models_compared(),
        phantom=rules.make_phantom.output.manifest if PLAN.is_phantom else [],
    output:
        table="results/comparison.csv",
        aggregation="results/comparison_aggregation.csv",
        picture="results/comparison.png",
        page="results/comparison.html",
        text="results/comparison.txt",
    log:
        "logs/compare_methods.txt",
    benchmark:
        "logs/benchmarks/compare_methods.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        truth="--truth data/phantom_truth/test.csv" if PLAN.is_phantom else "",
        localizer_models=option("localizer_models"),
        config=block_of("compare_methods"),
        code=code_of("compare_methods"),
    shell:
        "python -m cspine compare_methods --studies {input.studies} --folds {input.folds} "
        "--study-probabilities {input.study_probabilities} --predictions {input.predictions} --models {input.models} "
        "--table {output.table} --aggregation {output.aggregation} --picture {output.picture} --page {output.page} "
        "--text {output.text} {params.localizer_models} {params.truth} --config {params.config:q} --log {log}"
