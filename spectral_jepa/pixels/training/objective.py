"""Training loss of the pixel world models: prediction error of embeddings plus a regulariser against collapse.

The prediction error is the mean over coordinates, batch and time, as published, so with D coordinates it is 1 / D times the
sum that :mod:`spectral_jepa.losses` and docs/theory.md use.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spectral_jepa import losses
from spectral_jepa._parts import find_part
from spectral_jepa._shapes import Float
from spectral_jepa._streams import seeded_weights
from spectral_jepa._validation import InputError, check_count
from spectral_jepa.pixels.config import REGULARIZERS, ObjectiveConfig
from spectral_jepa.pixels.interfaces import LatentModel, RepeatedPictures
from spectral_jepa.pixels.training.reconstruction import PictureDecoder, as_repeated


class Objective(nn.Module):
    """Prediction error plus ``strength`` times a regulariser of the embeddings of all frames.

    Parameters
    ----------
    config : ObjectiveConfig
    dim : int
        D of the embedding.
    seed : int
        Draws the subspaces of ``subspace_sigreg`` and the initial weights of the inverse dynamics.
    block_dim : int, optional
        Numbers in an action block; needed where ``inverse_dynamics`` is above 0.
    image_size : int, optional
        Side of the pictures; needed where ``reconstruction`` is above 0.

    Raises
    ------
    InputError
        ``n_subspaces`` that does not divide ``dim``, inverse dynamics without ``block_dim``, reconstruction without
        ``image_size``, a regulariser of one's own that is not there.

    Notes
    -----
    Regularisers, each computed at every time step alone and then averaged over time, in float32 whatever the autocast:

    - ``sigreg``: :func:`spectral_jepa.losses.sigreg` along ``n_slices`` directions, drawn afresh at each step and shared by
      the time steps; ``factor`` None is the batch size, over all processes. Source: arXiv 2603.19312.
    - ``subspace_sigreg``: the mean of SIGReg over ``n_subspaces`` views, ``n_slices`` directions in each. The subspaces are
      a buffer drawn from ``seed``; of kind ``trainable`` they are a parameter, so give this module's parameters to the
      optimiser, and ``orthogonality`` times :func:`spectral_jepa.losses.orthogonality_penalty` is added to the loss.
      Source: arXiv 2605.09241.
    - ``pldm``: see :func:`pldm_terms`. Its four weights stand for themselves: ``strength`` does not multiply them.
    - ``whitening``: :func:`spectral_jepa.losses.whitening_penalty` / D, so ``strength`` is lambda of docs/theory.md, 2.6,
      where a direction of singular value s collapses iff s^2 <= 1 - 2 lambda: the default .09 is far too weak, try 1.
    - ``none``.
    - ``module:function``, one's own: called with the embeddings (T, B, D); its mean, times ``strength``, is added.

    ``inverse_dynamics`` times the mean squared error of a linear map from (z_t, z_{t+1}) to the action block between them is
    added to any of these; the map is a parameter of this module. Source: arXiv 2606.20104.

    ``reconstruction`` times the mean squared error of a decoder, a parameter of this module
    (:class:`spectral_jepa.pixels.training.reconstruction.PictureDecoder`), is added likewise: half of it in drawing all
    frames from their own embeddings, half in drawing frames 2..T from the predicted ones, averaged over pixels and channels
    as the encoder sees them.

    With a process group, SIGReg scores the joint batch; ``pldm`` and ``whitening`` score each process's own.

    Examples
    --------
    >>> from spectral_jepa.pixels.presets import preset
    >>> from spectral_jepa.pixels.model.world_model import WorldModel
    >>> settings = preset("tiny")
    >>> objective = Objective(settings.objective, settings.model.embedding_dim)
    >>> frames, blocks = torch.zeros(8, 4, 32, 32, 3, dtype=torch.uint8), torch.zeros(8, 4, 10)
    >>> parts = objective(WorldModel(settings.model), frames, blocks, torch.Generator().manual_seed(0))
    >>> sorted(parts), bool(parts["whitening_gap"] > 0.9)
    (['effective_rank', 'loss', 'prediction', 'regularizer', 'whitening_gap'], True)
    """

    subspaces: Tensor

    def __init__(
        self,
        config: ObjectiveConfig,
        dim: int,
        seed: int = 0,
        block_dim: int | None = None,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self.config, self.dim = config, check_count("dim", dim)
        own = config.regularizer not in REGULARIZERS
        self.own = find_part("regularizer", str(config.regularizer)) if own else None
        if config.inverse_dynamics:
            with seeded_weights(seed):
                self.inverse = nn.Linear(2 * dim, check_count("block_dim", block_dim))
        if config.reconstruction:
            with seeded_weights(seed):
                self.decoder = PictureDecoder(dim, check_count("image_size", image_size))
        if config.regularizer == "subspace_sigreg":
            generator = torch.Generator().manual_seed(seed)
            drawn = losses.make_subspaces(dim, config.n_subspaces, config.subspace_kind, generator=generator)
            if config.subspace_kind == "trainable":
                self.subspaces = nn.Parameter(drawn)
            else:
                self.register_buffer("subspaces", drawn)

    def forward(
        self,
        model: LatentModel,
        frames: Tensor | RepeatedPictures,
        blocks: Float[Tensor, "B T A"],
        generator: torch.Generator,
        group: torch.distributed.ProcessGroup | None = None,
        diagnostics: bool = True,
    ) -> dict[str, Float[Tensor, ""]]:
        """Evaluate one batch of clips.

        Parameters
        ----------
        model : LatentModel
        frames : Tensor or RepeatedPictures (B, T, ...)
            T >= 2 pictures a clip, T - 1 <= history. All B T are encoded in one batch.
        blocks : Tensor (B, T, block_dim)
            ``blocks[:, t]`` lies between frames t and t + 1; the last is not used.
        generator : torch.Generator
            Draws the directions; under data parallelism the same on all processes.
        group : torch.distributed.ProcessGroup, optional
            Processes that hold the parts of one batch.
        diagnostics : bool
            Also return ``effective_rank`` and ``whitening_gap``; an eigenvalue problem of size D.

        Returns
        -------
        dict of str to Tensor ()
            ``loss``; its parts ``prediction`` and ``regularizer`` (before ``strength``), and, where it has them,
            ``inverse_dynamics`` and ``reconstruction`` (before their weights), detached; with diagnostics,
            ``effective_rank`` and ``whitening_gap`` (:func:`spectral_jepa.losses.whitening_penalty` / D) of the embeddings
            of all frames, detached.

        Raises
        ------
        InputError
            Clips of one frame, blocks that do not match.

        Notes
        -----
        Teacher forcing: embeddings 1..T-1 with their blocks predict embeddings 2..T, each from those before it, so contexts
        of 1..T-1 frames are trained at once. Targets keep their gradient unless ``stop_gradient``.
        """
        if frames.ndim < 3 or frames.shape[1] < 2 or blocks.shape[:2] != frames.shape[:2]:
            raise InputError(
                f"frames has shape {tuple(frames.shape)} and blocks {tuple(blocks.shape)}, expected (B, T, ...) and "
                "(B, T, block_dim) with T >= 2: give clips with one action block a frame"
            )
        latents = model.encode(frames)
        predicted = model.predict(latents[:, :-1], blocks[:, :-1])
        # Time first: every loss below is one value a time step. Half precision ends here.
        exact = torch.promote_types(latents.dtype, torch.float32)
        values, predicted = latents.transpose(0, 1).to(exact), predicted.transpose(0, 1).to(exact)
        error = losses.prediction_loss(predicted, values[1:], stop_gradient=self.config.stop_gradient)
        prediction = error.mean() / self.dim
        regularizer, penalty = self.regularize(values, generator, group)
        result = {
            "loss": prediction + penalty,
            "prediction": prediction.detach(),
            "regularizer": regularizer.detach(),
        }
        if self.config.inverse_dynamics:
            pairs = torch.cat([latents[:, :-1], latents[:, 1:]], -1)
            inverse = (self.inverse(pairs).to(exact) - blocks[:, :-1]).square().mean()
            result["loss"] = result["loss"] + self.config.inverse_dynamics * inverse
            result["inverse_dynamics"] = inverse.detach()
        if self.config.reconstruction:
            own, after = as_repeated(frames), as_repeated(frames, first=1)
            drawn = (
                self.decoder.error(values.transpose(0, 1), own) + self.decoder.error(predicted.transpose(0, 1), after)
            ) / 2
            result["loss"] = result["loss"] + self.config.reconstruction * drawn
            result["reconstruction"] = drawn.detach()
        if diagnostics:
            flat = values.detach().flatten(0, 1)
            result["effective_rank"] = losses.sample_effective_rank(flat)
            result["whitening_gap"] = losses.whitening_penalty(flat) / self.dim
        return result

    def regularize(
        self, values: Float[Tensor, "T B D"], generator: torch.Generator, group: torch.distributed.ProcessGroup | None = None
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The regulariser of embeddings and what it adds to the loss.

        Parameters
        ----------
        values : Tensor (T, B, D)
            Embeddings, time first: each time step is scored alone.
        generator : torch.Generator
            Draws SIGReg's directions.
        group : torch.distributed.ProcessGroup, optional
            As in :meth:`forward`.

        Returns
        -------
        regularizer : Tensor ()
            Mean over time, before ``strength``.
        penalty : Tensor ()
            ``strength`` times it, plus the soft orthogonality of trainable subspaces; with "pldm" the regulariser itself.
        """
        config, strength = self.config, self.config.strength
        if config.regularizer == "none":
            nothing = values.new_zeros(())
            return nothing, nothing
        if self.own is not None:
            regularizer = self.own(values)
            if not isinstance(regularizer, Tensor) or regularizer.shape not in ((), values.shape[:1]):
                got = tuple(regularizer.shape) if isinstance(regularizer, Tensor) else type(regularizer).__name__
                raise InputError(
                    f"the regularizer {config.regularizer} gave {got} for embeddings of shape {tuple(values.shape)}, "
                    f"expected a tensor of one value, or of one a time step, ({len(values)},): average over the rest"
                )
            return regularizer.mean(), strength * regularizer.mean()
        if config.regularizer == "whitening":
            regularizer = losses.whitening_penalty(values).mean() / self.dim
            return regularizer, strength * regularizer
        if config.regularizer == "pldm":
            terms = pldm_terms(values)
            regularizer = (
                config.pldm_variance * terms["variance"]
                + config.pldm_covariance * terms["covariance"]
                + config.pldm_time_similarity * terms["time_similarity"]
                + config.pldm_time_variance * terms["time_variance"]
            )
            return regularizer, regularizer
        factor, n_knots, t_max, n_slices = config.factor, config.n_knots, config.t_max, config.n_slices
        if config.regularizer == "sigreg":
            directions = losses.random_directions(self.dim, n_slices, generator=generator).to(values)
            regularizer = losses.sigreg(values, directions, factor=factor, n_knots=n_knots, t_max=t_max, group=group).mean()
            return regularizer, strength * regularizer
        n_subspaces, subspace_dim = self.subspaces.shape[:2]
        directions = losses.random_directions(subspace_dim, n_subspaces * n_slices, generator=generator).to(values)
        regularizer = losses.subspace_sigreg(
            values,
            self.subspaces,
            directions.unflatten(-1, (n_subspaces, n_slices)).movedim(1, 0),
            factor=factor,
            n_knots=n_knots,
            t_max=t_max,
            group=group,
        ).mean()
        penalty = strength * regularizer
        if config.subspace_kind == "trainable" and config.orthogonality:
            penalty = penalty + config.orthogonality * losses.orthogonality_penalty(self.subspaces)
        return regularizer, penalty


def pldm_terms(values: Float[Tensor, "T B D"]) -> dict[str, Float[Tensor, ""]]:
    """The regularisers of the PLDM baseline that have a positive weight in LeWM's comparison.

    Parameters
    ----------
    values : Tensor (T, B, D)
        Embeddings z[t, b]; c[t, b] is z[t, b] less its mean over b, and variances divide by the number of samples less 1.

    Returns
    -------
    dict of str to Tensor ()
        - ``variance``: mean over t, d of max(0, 1 - sqrt(var_b c[t, b, d] + 1e-4));
        - ``covariance``: mean over t and pairs d != e of cov_b(c[t, b, d], c[t, b, e])^2;
        - ``time_similarity``: mean over t, b, d of (z[t + 1, b, d] - z[t, b, d])^2;
        - ``time_variance``: mean over b, d of max(0, 1 - sqrt(var_t c[t, b, d] + 1e-4)).

    Raises
    ------
    InputError
        Fewer than 2 samples, time steps or coordinates.

    Notes
    -----
    O(T B D^2). Time covariance and inverse dynamics have weight 0 there and are left out. Source: PLDM, arXiv 2502.14819, in
    the normalisation of LeWM's baseline.

    Examples
    --------
    >>> {name: round(float(term), 2) for name, term in pldm_terms(torch.zeros(3, 4, 2)).items()}
    {'variance': 0.99, 'covariance': 0.0, 'time_similarity': 0.0, 'time_variance': 0.99}
    """
    if values.ndim != 3 or min(values.shape) < 2:
        raise InputError(
            f"values has shape {tuple(values.shape)}, expected (T, B, D) with at least 2 of each: use longer clips or a "
            "larger batch"
        )
    n_times, n_samples, dim = values.shape
    centered = values - values.mean(1, keepdim=True)
    # The losses divide by the number of samples; here it is that number less 1.
    spread = centered * (n_samples / (n_samples - 1)) ** 0.5
    over_time = centered.transpose(0, 1) * (n_times / (n_times - 1)) ** 0.5
    return {
        "variance": losses.variance_penalty(spread).mean() / dim,
        "covariance": losses.covariance_penalty(spread).mean() / (dim * (dim - 1)),
        "time_similarity": (values[1:] - values[:-1]).square().mean(),
        "time_variance": losses.variance_penalty(over_time).mean() / dim,
    }
