"""The page as a whole: complete, self-contained, and safe against what tables may hold."""

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest
import yaml

from hounsfield.errors import TableError
from hounsfield.report.page import write_report
from hounsfield.tables import write_table

HOSTILE = "<script>alert(\"x\")</script> & $\\frac{1}{2}$ 'größer' 肺"


class Page(HTMLParser):
    """Elements and texts of a page; raises AssertionError for an end tag without its start."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append((self.open[-1] if self.open else "", text))

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self):
        return re.sub(r"\s+", " ", " ".join(text for tag, text in self.texts if tag not in ("style", "script")))


def written(run):
    write_report(run.folder, run.page, run.config, run.models, run.seeds)
    return Page(run.page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(usual_run):
    return Page(usual_run.page.read_text(encoding="utf-8"))


def test_names_are_shown_as_text(page):
    assert len(page.named("script")) == 1
    assert page.said().count(HOSTILE) > 10
    assert f"Sex: {HOSTILE}" in page.said()
    assert "<img src=x onerror=alert(1)>" in page.said() and '"quoted" <b>detail</b>' in page.said()
    assert all(attributes["src"].startswith("data:image/") for attributes in page.named("img"))
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_nothing_is_fetched(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value)
    styles = " ".join(text for tag, text in page.texts if tag == "style")
    assert "@import" not in styles and "url(" not in styles
    (policy,) = [meta["content"] for meta in page.named("meta") if meta.get("http-equiv")]
    assert policy.startswith("default-src 'none'")


def test_every_figure_is_drawn_and_ids_are_unique(page, usual_run):
    figures = page.named("svg")
    # Overview, differences, two forests, four panels a pathology, the three quantities of the histories, subgroups.
    labels = [attributes["aria-label"] for attributes in figures]
    expected = 1 + 1 + 2 + 4 * len(usual_run.pathologies) + 3 + 1
    assert sum(not label.startswith("Legend") for label in labels) == expected
    assert all(attributes["role"] == "img" for attributes in figures)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {found for _, a in page.elements for found in re.findall(r"url\(#([^)]+)\)", " ".join(map(str, a.values())))}
    used |= {a["xlink:href"][1:] for _, a in page.elements if a.get("xlink:href", "").startswith("#")}
    assert len(used) > 10 and used <= set(ids)


def test_figures_follow_the_page_in_colour(usual_run):
    text = usual_run.page.read_text()
    assert "currentColor" in text and "var(--line)" in text
    assert "#010203" not in text and "#040506" not in text


def test_tables_have_captions_and_scopes(page):
    assert len(page.named("caption")) == len(page.named("table")) > 10
    assert {attributes.get("scope") for attributes in page.named("th")} == {"col", "row"}
    assert all(attributes["alt"] for attributes in page.named("img"))


def test_undefined_is_a_dash_with_its_reason(page):
    assert "Pleural effusion – no positives – no positives" in page.said()
    assert "Undefined on the test split, and left out of the macro means: Pleural effusion." in page.said()
    assert not re.search(r"\bnan\b", page.said(), re.IGNORECASE)


def test_seeds_are_shown_when_there_are_several(page):
    assert "Macro AUROC of each training" in page.said() and "Seed 5" in page.said()
    assert "Each model was trained once" not in page.said()


def test_exclusions_are_counted_by_reason(page):
    assert "123 volumes in the tables or the folder" in page.said()
    assert "3 left out: truncated 2, not hu 1" in page.said()


def test_downloads_hold_the_tables(page, usual_run):
    links = {a["download"]: a["href"] for a in page.named("a") if "download" in a}
    assert {"models.tsv", "pairs.tsv", "excluded.tsv", "resnet3d-seed0-per_pathology.tsv"} <= set(links)
    content = base64.b64decode(links["pairs.tsv"].partition("base64,")[2])
    assert content == (usual_run.folder / "comparison/pairs.tsv").read_bytes()


def test_the_last_section_says_how_to_make_it_again(page, usual_run):
    said = page.said()
    assert "snakemake --configfile fake.yaml --cores all" in said and "Energy not measured" in said
    assert "0, 5 of the trainings" in said and "torch 2" in said and "processor:" in said
    (link,) = [a["href"] for a in page.named("a") if a.get("download") == "fake.yaml"]
    assert yaml.safe_load(base64.b64decode(link.partition("base64,")[2])) == usual_run.config
    path = usual_run.folder / "predictions/vit3d/seed5/test.tsv"
    assert hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() in said


def test_one_model_and_one_seed_have_no_comparison(make_run):
    said = written(make_run(models=("only",))).said()
    assert "only has the highest macro AUROC" in said
    assert "A minus B" not in said and "Each model was trained once" in said


def test_the_best_model_is_named_with_every_difference(make_run):
    said = written(make_run(models=("a", "b", "c"), pathologies=["x", "y"])).said()
    assert "a has the highest macro AUROC on the test split: 0.900 (0.850 to 0.950)." in said
    assert "0.200 above c (0.150 to 0.250, adjusted p = 0.020): a difference beyond chance" in said


def test_sections_come_in_the_order_of_the_questions(page):
    ids = [attributes["id"] for attributes in page.named("section")]
    assert ids == ["models", "pathologies", "cohort", "training", "subgroups", "examples", "again"]


def test_quality_stands_beside_cost(page):
    said = page.said()
    assert "resnet3d 0.900 0.850 to 0.950 6.0 min 0 s 3.59 0.87 0.049 CPU, threads: 1" in said
    # Six epochs of a minute each.
    assert "resnet3d, seed 5 6 6.0 min 12.5" in said


def test_ensembles_and_subgroups_are_shown_and_small_groups_suppressed(page):
    said = page.said()
    assert "all models 0.951 0.910 to 0.980" in said
    assert "Sex: F 12 30 0.770 0.660 to 0.880" in said
    assert "Too few patients to be scored: Sex: M (12)." in said
    assert "AUROC by subgroup and pathology" in said


def test_the_pointing_game_is_shown_where_it_was_played(page, make_run):
    assert "Lung nodule 0.75 6 of 8 0.75 6 of 8 0.03" in page.said()
    assert "All of them 0.75 18 of 24" in page.said()
    run = make_run(models=("only",), pathologies=["x"])
    (run.folder / "explanations/only/pointing.tsv").unlink()
    assert "Pointing game" not in written(run).said()


def test_scores_are_shown_as_they_were_calibrated(make_run):
    run = make_run(models=("only",), pathologies=["x"])
    table = "model\tseed\tpathology\tscale\toffset\nonly\t0\tx\t1\t-100\n"
    (run.folder / "comparison/calibration.tsv").write_text(table)
    said = written(run).said()
    assert re.search(r"only 0\.500 0 \d+ 0 \d+", said), "no probability reaches the threshold now"
    assert "probability 0.00" in said


def test_pooled_folds_are_shown(make_run):
    run = make_run(models=("only",), pathologies=["x"])
    table = "model\tpathology\tmetric\tvalue\tlow\thigh\tpooled\nonly\tx\troc_auc\t0.7\t0.6\t0.8\t0.6\n"
    table += "only\t(macro)\troc_auc_macro\t0.711\t0.611\t0.811\t0.654\n"
    (run.folder / "comparison/folds.tsv").write_text(table)
    said = written(run).said()
    assert "Cross-validation, within folds" in said and "only 0.711 0.611 to 0.811" in said
    assert "one ranking would give a macro AUROC of only 0.654" in said


def test_the_published_protocol_is_called_optimistic(make_run):
    run = make_run(models=("only",), pathologies=["x"])
    table = "model\tseed\tprotocol\tpathology\tmetric\tvalue\tnote\n"
    table += "only\t0\tct-clip\t(macro)\tweighted_f1\t0.812\toptimistic\n"
    (run.folder / "comparison/protocols.tsv").write_text(table)
    said = written(run).said()
    assert "optimistic" in said and "only, seed 0 CT-CLIP: threshold from the test labels 0.812" in said


def test_further_tables_of_the_comparison_are_shown(make_run):
    run = make_run(pathologies=["x"])
    (run.folder / "comparison/further_scores.tsv").write_text("model\tvalue\nboth\t0.912\n")
    said = written(run).said()
    assert "Further scores" in said and "0.912" in said


def test_a_missing_table_is_named(make_run):
    run = make_run(pathologies=["x"])
    (run.folder / "comparison/pairs.tsv").unlink()
    with pytest.raises(TableError, match=r"pairs\.tsv"):
        written(run)
    assert not run.page.exists()


def test_the_page_is_the_same_when_written_again(make_run):
    run = make_run(pathologies=["x"])
    written(run)
    before = run.page.read_bytes()
    written(run)
    assert run.page.read_bytes() == before


@pytest.mark.slow
def test_eighteen_labels_and_four_models_stay_under_five_megabytes(make_run):
    labels = [f"Finding number {number}" for number in range(18)]
    # Pictures of noise, which no format makes small.
    run = make_run(models=("a", "b", "c", "d"), pathologies=labels, patients=1500, edge=240)
    written(run)
    assert run.page.stat().st_size < 5_000_000


def test_internal_and_external_stand_side_by_side(make_run, usual_run):
    assert 'id="external"' not in usual_run.page.read_text()
    run = make_run(name="external-test")
    names = [*run.pathologies, "(macro)"]
    sides = {"internal": 0.8125, "internal_low": 0.7, "internal_high": 0.9}
    sides |= {
        "external": 0.6875,
        "external_low": 0.5,
        "external_high": 0.8,
        "difference": -0.125,
        "low": -0.3,
        "high": 0,
    }
    table = pd.DataFrame([{"model": "vit3d", "pathology": name, "metric": "roc_auc"} | sides for name in names])
    table.loc[1, ["external", "external_low", "external_high", "difference", "low", "high"]] = None
    write_table(table, run.folder / "comparison/external.tsv")
    trained = run.folder.with_name("trained-elsewhere")
    trained.mkdir()
    shutil.move(run.folder / "models", trained)
    config = run.config | {"internal": {"name": "trained-elsewhere", "pathologies": run.pathologies, "shards": 1}}
    write_report(run.folder, run.page, config, run.models, run.seeds)
    text = run.page.read_text()
    section = text[text.index('<section id="external">') :]
    section = section[: section.index("</section>")]
    Page(text)
    assert "0.812" in section and "0.688" in section and "−0.125" in section and "undefined" in section
    assert HOSTILE not in section
