# Trained networks for other people's tools. No part of `all`: `snakemake exports` asks for them.


rule exports:
    input:
        expand(f"{RESULTS}/exports/{{model}}/seed{{seed}}", model=MODELS, seed=SEEDS),


rule export:
    input:
        best=f"{RESULTS}/models/{{model}}/seed{{seed}}/best.pth",
        history=f"{RESULTS}/models/{{model}}/seed{{seed}}/history.tsv",
        dataset=f"{RESULTS}/cohort/dataset.tsv",
        shards=expand(f"{RESULTS}/cohort/shards/{{shard}}.tsv", shard=SHARDS),
        operating_points=f"{RESULTS}/metrics/{{model}}/seed{{seed}}/operating_points.tsv",
        overall=f"{RESULTS}/metrics/{{model}}/seed{{seed}}/overall.tsv",
        per_pathology=f"{RESULTS}/metrics/{{model}}/seed{{seed}}/per_pathology.tsv",
    output:
        report(
            directory(f"{RESULTS}/exports/{{model}}/seed{{seed}}"),
            patterns=["{file}.tsv", "{file}.md"],
            category="Exports",
            caption="../report/export.rst",
            labels={"model": "{model}", "seed": "{seed}", "file": "{file}"},
        ),
    log:
        f"{LOGS}/export/{{model}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/export/{{model}}/seed{{seed}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        mem_mb=16000,
    params:
        exports=canonical(config["exports"]),
        training=training_settings,
        evaluation=canonical(config["evaluation"]),
        code=code("export.py"),
    message:
        "Export {wildcards.model}, seed {wildcards.seed}"
    script:
        "../../scripts/export.py"
