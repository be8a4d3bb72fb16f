"""Small pictures of Cube are drawn of coarser meshes: what they look like changes a little, how the world moves does not."""

import numpy as np
import pytest

from spectral_jepa._validation import InputError
from spectral_jepa.pixels.environments import make_environment
from spectral_jepa.pixels.environments._mujoco import Drawing, coarse_meshes, simulator
from spectral_jepa.pixels.environments.cube import COARSE_SIZE, CubeEnvironment


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("mujoco")
    rng = np.random.default_rng(0)
    # A bumpy ball: points on the sphere and the faces of their hull.
    from scipy.spatial import ConvexHull

    points = rng.standard_normal((400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vertex, face = (" ".join(map(str, a.ravel().tolist())) for a in (points, ConvexHull(points).simplices))
    mesh = f'<mesh name="ball" vertex="{vertex}" face="{face}" inertia="convex"/>'
    tiny = '<mesh name="tiny" vertex="0 0 0 .001 0 0 0 .001 0 0 0 .001"/>'
    geoms = '<geom type="mesh" mesh="ball"/><geom type="mesh" mesh="tiny" pos="3 0 0"/>'
    text = f"<mujoco><asset>{mesh}{tiny}</asset><worldbody>{geoms}</worldbody></mujoco>"
    return simulator("mujoco").MjModel.from_xml_string(text)


def test_vertices_of_a_cell_meet_at_their_mean_and_flat_faces_go(model):
    cell = 0.3
    before = {name: getattr(model, name).copy() for name in ("mesh_vert", "mesh_face", "mesh_facenum", "mesh_facenormal")}
    coarse = coarse_meshes(model, cell)
    for name, values in before.items():
        assert np.array_equal(getattr(model, name), values), name
    n = model.mesh_vertnum[0]
    old, new = model.mesh_vert[:n].astype(np.float64), coarse.mesh_vert[:n].astype(np.float64)
    cells = [tuple(row) for row in np.floor(model.mesh_vert[:n] / cell).astype(int)]
    for key in set(cells):
        members = [i for i, own in enumerate(cells) if own == key]
        np.testing.assert_allclose(new[members], np.tile(old[members].mean(0), (len(members), 1)), atol=1e-6)
    # Faces by hand: between three different cells, each triple once.
    triples = {frozenset(cells[i] for i in face) for face in model.mesh_face[: model.mesh_facenum[0]]}
    expected = {triple for triple in triples if len(triple) == 3}
    kept = coarse.mesh_face[: coarse.mesh_facenum[0]]
    assert len(kept) == len(expected) < 0.7 * model.mesh_facenum[0]
    assert {frozenset(cells[i] for i in face) for face in kept} == expected
    # Corners keep their own normals: a face's row went along as a whole.
    rows = {tuple(face): tuple(normal) for face, normal in zip(model.mesh_face, model.mesh_facenormal, strict=True)}
    assert all(rows[tuple(f)] == tuple(m) for f, m in zip(kept, coarse.mesh_facenormal, strict=False))
    # What is smaller than a cell stays.
    first = model.mesh_faceadr[1]
    assert coarse.mesh_facenum[1] == model.mesh_facenum[1] == 4
    assert np.array_equal(coarse.mesh_face[first : first + 4], model.mesh_face[first : first + 4])


@pytest.fixture(scope="module")
def cubes():
    pytest.importorskip("ogbench")
    made = [make_environment("cube", size) for size in (COARSE_SIZE, COARSE_SIZE + 2)]
    try:
        for one in made:
            one.reset(seed=0)
            one.render()
    except InputError as error:
        pytest.skip(str(error))
    return made


def test_trajectories_are_the_same_bit_for_bit(cubes):
    # Long enough to grasp the cube; drawn every few steps, so that a picture would leave its mark.
    paths = []
    for one in cubes:
        one.reset(seed=2)
        policy, path = one.policy("scripted", np.random.default_rng(5)), []
        for step in range(60):
            one.play(policy())
            path.append(one.get_state())
            if step % 20 == 0:
                one.render()
        paths.append(np.array(path))
    assert paths[0].tobytes() == paths[1].tobytes()
    assert np.linalg.norm(paths[0][-1] - paths[0][0]) > 0.1


def test_pictures_differ_a_little(cubes):
    coarse, fine = (one._draw for one in cubes)
    data, model = cubes[0]._data, cubes[0]._model
    assert coarse._shown.mesh_facenum.sum() < 0.1 * model.mesh_facenum.sum() == 0.1 * fine._shown.mesh_facenum.sum()
    whole, grain = (Drawing(model, COARSE_SIZE, "front_pixels", cell) for cell in (0.0, 1e-6))
    try:
        picture = whole(data).astype(int)
        apart = np.abs(coarse(data).astype(int) - picture).mean()
        assert 0.1 < apart < 0.8
        # A grid that parts all vertices leaves the picture nearly as it is (of faces that cover each other, one goes),
        # whatever colours are set meanwhile.
        assert np.abs(grain(data).astype(int) - picture).mean() < apart / 5
        cubes[0].recolor()
        assert np.abs(grain(data).astype(int) - whole(data)).mean() < apart / 5
        assert np.abs(whole(data).astype(int) - picture).max() > 50
    finally:
        for one in (whole, grain):
            one.close()


def test_the_digest_tells_how_pictures_are_drawn(monkeypatch):
    now = CubeEnvironment.digest()
    monkeypatch.setattr(CubeEnvironment, "drawing", "")
    assert CubeEnvironment.digest() != now
