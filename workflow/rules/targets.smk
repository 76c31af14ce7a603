# What can be asked for by name.


localrules:
    submission,
    audit,
    cache,
    views,
    bundle,
    evaluate,
    localizers,
    compare,
    error_analysis,
    pseudo_quality,
    pseudo_pages,
    report,
    plan,


rule submission:
    """The whole chain: results/submission.csv, and its score on the terminal."""
    input:
        submission="results/submission.csv",
        score=f"results/{SUBMITTED}/score.txt",
    log:
        "logs/submission.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.score}; echo; echo '{input.submission} is ready.') | tee {log}"


rule audit:
    """What is wrong with the data, and what the run will do about it: results/audit.html, before any training."""
    input:
        page="results/audit.html",
        summary="results/audit.txt",
    log:
        "logs/audit.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.summary}; echo; echo '{input.page} is ready: open it in a browser.') | tee {log}"


rule cache:
    """Read the CT once: the pixel cache and the index, before any training."""
    input:
        "results/index/studies.parquet",


rule views:
    """Every view of the config, whether or not a method asks for it."""
    input:
        all_views(),


rule localizers:
    """What the localizers are worth against masks they have not seen, side by side, and what they took."""
    input:
        table="results/localization/comparison.txt",
    log:
        "logs/localizers.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.table}; echo; python -m cspine provenance) | tee {log}"


rule compare:
    """Every method of compare.methods in one table, beside the best constant: results/comparison.{html,csv,png}."""
    input:
        table="results/comparison.txt",
        page="results/comparison.html",
    log:
        "logs/compare.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.table}; echo; echo '{input.page} is ready: open it in a browser.') | tee {log}"


rule bundle:
    """The models with all that predicting needs elsewhere: results/bundle/, for `python -m cspine predict`."""
    input:
        manifest="results/bundle/bundle.json",
    log:
        "logs/bundle.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; echo 'results/bundle/ is ready: python -m cspine predict FOLDER --bundle results/bundle --out predicted') "
        "| tee {log}"


rule evaluate:
    """What a bundle is worth on labelled studies that are new to it; nothing is trained."""
    input:
        table="results/evaluation/score.txt",
    log:
        "logs/evaluate.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.table}) | tee {log}"


rule error_analysis:
    """What the submitted method gets wrong, and the submission where the truth of the test studies is known."""
    input:
        method=f"results/{SUBMITTED}/errors/errors.txt",
        submission="results/submission_errors/errors.txt" if PLAN.is_phantom else [],
    log:
        "logs/error_analysis.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(for text in {input}; do echo; cat $text; done; echo; echo 'Tables of the same (docs/errors.md) are beside {input}.') "
        "| tee {log}"


rule pseudo_quality:
    """How good the pseudo-labels are, by boxes that were not shown; on the phantom by its truth too."""
    input:
        text=f"results/{SUBMITTED}/pseudo_quality.txt",
    log:
        "logs/pseudo_quality.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.text}) | tee {log}"


rule pseudo_pages:
    """Look at the most doubtful pseudo-labels: results/<method>/pseudo_labels.html, with pictures of the data."""
    input:
        page=f"results/{SUBMITTED}/pseudo_labels.html",
    log:
        "logs/pseudo_pages.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; echo '{input.page} is ready: open it in a browser.') | tee {log}"


rule report:
    """What the run found: results/report.html, one page that needs no network, and its figures in results/report/."""
    input:
        score=f"results/{SUBMITTED}/score.txt",
        page="results/report.html",
    log:
        "logs/report.txt",
    conda:
        "../../envs/tables.yaml"
    shell:
        "(echo; cat {input.score}; echo; echo '{input.page} is ready: open it in a browser.') | tee {log}"


rule plan:
    """What the whole run will take, measured in small on this machine: hours, GB, sessions; results/plan.txt."""
    log:
        "logs/plan.txt",
    conda:
        "../../envs/torch.yaml"
    threads: PLAN.cores
    shell:
        "python -m cspine plan --cores {threads} | tee {log}"
