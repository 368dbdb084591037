"""No test picture shows what a calibration picture shows."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import edgekit_calibration
from edgekit_calibration.pixels import read_pixels
from edgekit_calibration.similar import SAME, distance, picture_hash


def views(pixels):
    """The picture, its mirror image, and nine overlapping parts."""
    height, width = pixels.shape[:2]
    yield pixels
    yield pixels[:, ::-1]
    for top in (0, height // 6, height // 3):
        for left in (0, width // 6, width // 3):
            yield pixels[top : top + height * 2 // 3, left : left + width * 2 // 3]


def hashes(pictures):
    return {picture.name: [picture_hash(np.ascontiguousarray(view)) for view in views(read_pixels(picture.path))] for picture in pictures}


def test_no_test_picture_is_a_calibration_picture():
    calibration = hashes(edgekit_calibration.load("photos").pictures)
    test = hashes(edgekit_calibration.test_set().pictures)
    near = [
        (one, other)
        for one, ours in test.items()
        for other, theirs in calibration.items()
        if min(min(distance(ours[0], view) for view in theirs), min(distance(theirs[0], view) for view in ours)) <= SAME
    ]
    assert not near


def test_no_picture_is_twice_in_the_test_set():
    each = {picture.name: picture_hash(read_pixels(picture.path)) for picture in edgekit_calibration.test_set().pictures}
    assert not [(a, b) for a in each for b in each if a < b and distance(each[a], each[b]) <= SAME]


def jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "alter",
    [
        jpeg,
        lambda image: image.resize((150, 130), Image.Resampling.BILINEAR),
        lambda image: ImageEnhance.Brightness(image).enhance(0.6),
        lambda image: image.crop((4, 2, image.width - 2, image.height - 2)),
        lambda image: image.convert("L").convert("RGB"),
    ],
    ids=["jpeg", "resized", "darker", "trimmed", "grey"],
)
def test_a_copy_is_recognized(alter):
    for picture in edgekit_calibration.test_set().pictures[::4]:
        with Image.open(picture.path) as image:
            copy = alter(image.convert("RGB"))
        assert distance(picture_hash(read_pixels(picture.path)), picture_hash(np.asarray(copy))) <= SAME, picture.name


def test_a_planted_part_of_a_calibration_picture_is_recognized():
    """What `test_no_test_picture_is_a_calibration_picture` would find."""
    pixels = read_pixels(edgekit_calibration.load("photos").pictures[4].path)
    height, width = pixels.shape[:2]
    part = picture_hash(np.ascontiguousarray(pixels[height // 6 + 4 : height // 6 + 4 + height * 2 // 3, : width * 2 // 3]))
    assert min(distance(part, picture_hash(np.ascontiguousarray(view))) for view in views(pixels)) <= SAME
