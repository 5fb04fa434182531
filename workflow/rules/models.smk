# From the dataset to models and their predictions.


rule train:
    input:
        dataset=f"{RUN}/cohort/dataset.tsv",
        starts=training_starts,
    output:
        best=f"{RUN}/models/{{model}}/seed{{seed}}/best.pth",
        final=f"{RUN}/models/{{model}}/seed{{seed}}/final.pth",
        history=report(
            f"{RUN}/models/{{model}}/seed{{seed}}/history.tsv",
            category="Training",
            caption="../report/training.rst",
            labels={"run": "{run}", "model": "{model}", "seed": "{seed}"},
        ),
    log:
        f"{RUN}/logs/train/{{model}}/seed{{seed}}.log",
    benchmark:
        f"{RUN}/benchmarks/train/{{model}}/seed{{seed}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        **several_nodes(),
        gpu=training_gpus,
        mem_mb=16000,
        runtime=1440,
    params:
        model=model_settings,
        training=training_settings,
        preprocessing=canonical(config["preprocessing"]),
        pathologies=literal(config["cohort"]["pathologies"]),
        code=train_code,
    message:
        "Train {wildcards.model}, seed {wildcards.seed}, for {wildcards.run}"
    script:
        "../../scripts/train.py"


rule predict:
    input:
        best=f"{NETWORKS}/models/{{model}}/seed{{seed}}/best.pth",
        dataset=f"{RUN}/cohort/dataset.tsv",
    output:
        report(
            f"{RUN}/predictions/{{model}}/seed{{seed}}/{{split}}.tsv",
            category="Predictions",
            caption="../report/predictions.rst",
            labels={
                "run": "{run}",
                "model": "{model}",
                "seed": "{seed}",
                "split": "{split}",
            },
        ),
    log:
        f"{RUN}/logs/predict/{{model}}/seed{{seed}}/{{split}}.log",
    benchmark:
        f"{RUN}/benchmarks/predict/{{model}}/seed{{seed}}/{{split}}.tsv"
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=8000,
    params:
        training=training_settings,
        preprocessing=canonical(config["preprocessing"]),
        code=code("predict.py"),
    message:
        "Score {wildcards.split} with {wildcards.model}, seed {wildcards.seed}, for {wildcards.run}"
    script:
        "../../scripts/predict.py"
