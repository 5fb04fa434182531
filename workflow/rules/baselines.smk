# Cheap baselines: what the networks' scores are worth. Fitted on train, chosen on validation.


rule metadata_baseline:
    input:
        dataset=f"{RUN}/cohort/dataset.tsv",
        stored=expand(f"{RESULTS}/cohort/stored/{{shard}}.tsv", shard=SHARDS),
        metadata=f"{RESULTS}/cohort/metadata.tsv",
    output:
        **baseline_predictions(),
    log:
        f"{RUN}/logs/baselines/{{baseline}}/seed{{seed}}.log",
    benchmark:
        f"{RUN}/benchmarks/baselines/{{baseline}}/seed{{seed}}.tsv"
    wildcard_constraints:
        baseline=baselines_of("metadata"),
    conda:
        "../../envs/hounsfield.yaml"
    params:
        baseline=baseline_settings,
        pathologies=literal(config["cohort"]["pathologies"]),
        code=code("metadata_baseline.py"),
    message:
        "Score {wildcards.baseline} without a voxel, seed {wildcards.seed}, for {wildcards.run}"
    script:
        "../../scripts/metadata_baseline.py"


rule linear_probe:
    input:
        best=probed_checkpoint,
        dataset=f"{RUN}/cohort/dataset.tsv",
    output:
        **baseline_predictions(),
    log:
        f"{RUN}/logs/baselines/{{baseline}}/seed{{seed}}.log",
    benchmark:
        f"{RUN}/benchmarks/baselines/{{baseline}}/seed{{seed}}.tsv"
    wildcard_constraints:
        baseline=baselines_of("linear_probe"),
    conda:
        "../../envs/hounsfield.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=8000,
    params:
        network=of_probed(model_settings),
        training=of_probed(training_settings),
        preprocessing=canonical(config["preprocessing"]),
        pathologies=literal(config["cohort"]["pathologies"]),
        code=probe_code,
    message:
        "Probe the features of {wildcards.baseline}, seed {wildcards.seed}, for {wildcards.run}"
    script:
        "../../scripts/linear_probe.py"
