import edgekit


def test_the_public_face_is_whole():
    for name in edgekit.__all__:
        assert getattr(edgekit, name) is not None
