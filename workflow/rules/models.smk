# From the dataset to models and their predictions.


rule train:
    input:
        dataset=f"{RESULTS}/cohort/dataset.tsv",
    output:
        best=f"{RESULTS}/models/{{model}}/seed{{seed}}/best.pth",
        final=f"{RESULTS}/models/{{model}}/seed{{seed}}/final.pth",
        history=report(
            f"{RESULTS}/models/{{model}}/seed{{seed}}/history.tsv",
            category="Training",
            caption="../report/training.rst",
            labels={"model": "{model}", "seed": "{seed}"},
        ),
    log:
        f"{LOGS}/train/{{model}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{model}}/seed{{seed}}.tsv"
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
        pathologies=config["cohort"]["pathologies"],
        code=train_code,
    message:
        "Train {wildcards.model}, seed {wildcards.seed}"
    script:
        "../../scripts/train.py"


rule predict:
    input:
        best=f"{TRAINED}/models/{{model}}/seed{{seed}}/best.pth",
        dataset=f"{RESULTS}/cohort/dataset.tsv",
    output:
        report(
            f"{RESULTS}/predictions/{{model}}/seed{{seed}}/{{split}}.tsv",
            category="Predictions",
            caption="../report/predictions.rst",
            labels={"model": "{model}", "seed": "{seed}", "split": "{split}"},
        ),
    log:
        f"{LOGS}/predict/{{model}}/seed{{seed}}/{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/predict/{{model}}/seed{{seed}}/{{split}}.tsv"
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
        "Score {wildcards.split} with {wildcards.model}, seed {wildcards.seed}"
    script:
        "../../scripts/predict.py"
