# Trained networks for other people's tools. No part of `all`: `snakemake exports` asks for them.


rule exports:
    input:
        expand(
            f"{RUN}/exports/{{model}}/seed{{seed}}", run=RUNS, model=MODELS, seed=SEEDS
        ),


rule export:
    input:
        best=f"{RUN}/models/{{model}}/seed{{seed}}/best.pth",
        history=f"{RUN}/models/{{model}}/seed{{seed}}/history.tsv",
        dataset=f"{RUN}/cohort/dataset.tsv",
        shards=expand(f"{RESULTS}/cohort/shards/{{shard}}.tsv", shard=SHARDS),
        operating_points=f"{RUN}/metrics/{{model}}/seed{{seed}}/operating_points.tsv",
        overall=f"{RUN}/metrics/{{model}}/seed{{seed}}/overall.tsv",
        per_pathology=f"{RUN}/metrics/{{model}}/seed{{seed}}/per_pathology.tsv",
    output:
        report(
            directory(f"{RUN}/exports/{{model}}/seed{{seed}}"),
            patterns=["{file}.tsv", "{file}.md"],
            category="Exports",
            caption="../report/export.rst",
            labels={
                "run": "{run}",
                "model": "{model}",
                "seed": "{seed}",
                "file": "{file}",
            },
        ),
    log:
        f"{RUN}/logs/export/{{model}}/seed{{seed}}.log",
    benchmark:
        f"{RUN}/benchmarks/export/{{model}}/seed{{seed}}.tsv"
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
        "Export {wildcards.model}, seed {wildcards.seed}, for {wildcards.run}"
    script:
        "../../scripts/export.py"
