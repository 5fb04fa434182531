# Scores for a folder of new scans, with the networks that a finished run trained; nothing is trained here.


# A checkpoint, so that only the shards whose tables it changed run again.
checkpoint list_scans:
    output:
        refused=f"{SCANS}/listed.tsv",
        shards=expand(f"{SCANS}/shards/{{shard}}.tsv", shard=SHARDS),
    log:
        f"{LOGS}/inference/{SCANS_NAME}/list_scans.log",
    benchmark:
        f"{BENCHMARKS}/inference/{SCANS_NAME}/list_scans.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: 8
    params:
        folder=literal(config["input"]),
        files=listed_files,
        code=code("list_scans.py"),
    message:
        "Find the scans below {params.folder}"
    script:
        "../../scripts/list_scans.py"


use rule preprocess as store_scans with:
    input:
        scan_table,
    output:
        f"{SCANS}/stored/{{shard}}.tsv",
    log:
        f"{LOGS}/inference/{SCANS_NAME}/stored/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/inference/{SCANS_NAME}/stored/{{shard}}.tsv"
    message:
        "Put the scans of shard {wildcards.shard} into the store"


rule score_scans:
    input:
        best=f"{RESULTS}/models/{{model}}/seed{{seed}}/best.pth",
        points=operating_points,
        stored=stored_scans,
    output:
        f"{SCANS}/scored/{{model}}/seed{{seed}}/{{shard}}.tsv",
    log:
        f"{LOGS}/inference/{SCANS_NAME}/{{model}}/seed{{seed}}/{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/inference/{SCANS_NAME}/{{model}}/seed{{seed}}/{{shard}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=8000,
    params:
        code=code("score_scans.py"),
    message:
        "Score the scans of shard {wildcards.shard} with {wildcards.model}, seed {wildcards.seed}"
    script:
        "../../scripts/score_scans.py"


rule gather_scores:
    input:
        expand(
            f"{SCANS}/scored/{{{{model}}}}/seed{{{{seed}}}}/{{shard}}.tsv",
            shard=SHARDS,
        ),
    output:
        report(
            f"{SCANS}/{{model}}-seed{{seed}}.tsv",
            category="New scans",
            caption="../report/scores.rst",
            labels={"model": "{model}", "seed": "{seed}"},
        ),
    log:
        f"{LOGS}/inference/{SCANS_NAME}/{{model}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/inference/{SCANS_NAME}/{{model}}/seed{{seed}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        code=code("gather_scores.py"),
    message:
        "Gather the scores of {wildcards.model}, seed {wildcards.seed}"
    script:
        "../../scripts/gather_scores.py"


rule gather_refused:
    input:
        listed=f"{SCANS}/listed.tsv",
        shards=expand(f"{SCANS}/shards/{{shard}}.tsv", shard=SHARDS),
        stored=expand(f"{SCANS}/stored/{{shard}}.tsv", shard=SHARDS),
    output:
        report(
            f"{SCANS}/refused.tsv",
            category="New scans",
            caption="../report/refused.rst",
        ),
    log:
        f"{LOGS}/inference/{SCANS_NAME}/refused.log",
    benchmark:
        f"{BENCHMARKS}/inference/{SCANS_NAME}/refused.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    params:
        code=code("gather_refused.py"),
    message:
        "Name the scans that were refused"
    script:
        "../../scripts/gather_refused.py"


rule scores:
    default_target: True
    input:
        expand(f"{SCANS}/{{model}}-seed{{seed}}.tsv", model=MODELS, seed=SEEDS),
        f"{SCANS}/refused.tsv",
