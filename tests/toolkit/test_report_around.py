"""The page says in plain words what whoever runs the files does around them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reports import full
from test_report import Page

from edgekit import report
from edgekit.bundle import Bundle
from edgekit.enhancer import CLASSICAL, Adjustment, ClassicalStep, Sampler

STEPS = tuple(ClassicalStep(name, CLASSICAL[name]) for name in ("bilateral", "clahe", "equalize"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (
            "before",
            STEPS,
            "Before the network, the picture gets a bilateral filter (sigma 2 px, sigma 0.1 of colour), then CLAHE (8 regions a side, no level more "
            "than 2 times the mean count), then histogram equalization.",
        ),
        ("after", STEPS[2:], "The result gets histogram equalization. The numbers of the files were measured without these steps."),
        (
            "sampler",
            Sampler("ddim", (0.9, 0.5, 0.125), 7),
            "goes over the whole picture 3 times, with these shares of noise left: 0.9, 0.5, 0.125 (DDIM). The numbers of the files are those of single steps.",
        ),
        (
            "apply",
            Adjustment("gain-gamma-saturation", "settings <i>", ((0.25, 4.0), (0.5, 2.0), (0.0, 2.0))),
            "They see the picture resized to 16 x 8 px; their output “settings <i>” then says how every pixel of the picture is adjusted "
            "at its own size: gain from 0.25 to 4, gamma from 0.5 to 2, saturation from 0 to 2.",
        ),
    ],
)
def test_what_happens_around_the_files(key, value, said, tmp_path):
    opened = full(tmp_path)
    page = Page(report.build(Bundle(opened.path, replace(opened.manifest, **{key: value}))))
    text = " ".join(page.text.split())
    assert said in text and "edgekit run does all this; the demo apps refuse such a bundle." in text
    assert text.index("Around the files") < text.index("Every number and its limit")
    assert ("NOT APPLICABLE: this file gives numbers" in text) == (key == "apply")


def test_files_that_are_all_there_is_to_run(tmp_path):
    assert "Around the files" not in report.build(full(tmp_path))
