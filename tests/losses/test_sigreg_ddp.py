"""SIGReg on two processes is SIGReg of the joint batch, in value and in the gradient that DDP forms."""

import multiprocessing

import pytest
import torch
import torch.distributed as dist

from spectral_jepa.losses import epps_pulley, make_subspaces, random_directions, sigreg, subspace_sigreg

DIM, FEATURES, N, RANKS = 4, 5, 6, 2


def setting():
    source = torch.Generator().manual_seed(0)
    wide = {"generator": source, "dtype": torch.float64}
    model = torch.nn.Linear(FEATURES, DIM).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, **wide))
    inputs, weight = torch.randn(RANKS, N, FEATURES, **wide), torch.rand(RANKS, N, **wide) + 0.1
    weight /= weight.sum(-1, keepdim=True)
    directions, subspaces = random_directions(DIM, 7, **wide), make_subspaces(DIM, 2, **wide)
    inside = torch.stack([random_directions(2, 3, **wide) for _ in range(2)])
    losses = {
        "sigreg": lambda z, w, **k: sigreg(z, directions, **k),
        "weighted": lambda z, w, **k: sigreg(z, directions, w, **k),
        "fixed factor": lambda z, w, **k: sigreg(z, directions, factor=3.0, **k),
        "subspaces": lambda z, w, **k: subspace_sigreg(z, subspaces, inside, w, **k),
        "views": lambda z, w, **k: epps_pulley(z, **k).sum(-1),
    }
    return model, inputs, weight, losses


def measure(value, model):
    model.zero_grad()
    value.backward()
    return [float(value)] + [parameter.grad.clone() for parameter in model.parameters()]


def work(rank, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS)
    model, inputs, weight, losses = setting()
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    found = {}
    for name, loss in losses.items():
        for joint, options in ((True, {"group": dist.group.WORLD}), (False, {})):
            found[name, joint] = measure(loss(parallel(inputs[rank]), weight[rank], **options), model)
    torch.save(found, f"{results}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        patch.setenv("OMP_NUM_THREADS", "1")
        processes = [context.Process(target=work, args=(rank, folder / "store", folder)) for rank in range(RANKS)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            if process.exitcode is None:
                process.kill()
    assert [process.exitcode for process in processes] == [0] * RANKS
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.mark.parametrize("name", ["sigreg", "weighted", "fixed factor", "subspaces", "views"])
def test_two_processes_equal_one_on_the_joint_batch(measured, name):
    model, inputs, weight, losses = setting()
    expected = measure(losses[name](model(inputs.flatten(0, 1)), weight.flatten()), model)
    assert expected[0] > 0.1 and all(float(gradient.norm()) > 1e-2 for gradient in expected[1:])
    for rank in range(RANKS):
        value, *gradients = measured[rank][name, True]
        assert value == pytest.approx(expected[0], abs=1e-10)
        for gradient, wanted in zip(gradients, expected[1:], strict=True):
            assert float((gradient - wanted).abs().max()) < 1e-10
    # Negative control: without the group, each process scores its own batch and the averaged gradient is another one.
    value, *gradients = measured[0][name, False]
    assert abs(value - expected[0]) > 1e-3
    assert max(float((g - w).abs().max()) for g, w in zip(gradients, expected[1:], strict=True)) > 1e-3
