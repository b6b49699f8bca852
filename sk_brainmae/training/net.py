"""skorch's net for batches that are already on the device."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from skorch.dataset import get_len
from torch import Tensor

Batch = tuple[dict[str, Tensor], Any]


class DeviceNet(NeuralNet):
    """A net that copies losses from the device once per epoch, and says which batch size fits."""

    @property
    def rates(self) -> Any:
        """The schedule of the learning rates."""
        callbacks = [callback for _, callback in self.callbacks_]
        return next(c for c in callbacks if isinstance(c, LRScheduler)).lr_scheduler_

    def run_single_epoch(
        self,
        iterator: Iterable[Batch] | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """Pass over the batches, and record the mean of their losses; arguments as in skorch."""
        if iterator is None:
            return
        losses, sizes = [], []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            sizes.append(get_len(batch[0]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
        loss = np.average(torch.stack(losses).tolist(), weights=sizes)
        self.history.record(f"{prefix}_loss", float(loss))

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        """Take a step; arguments and result as in skorch."""
        try:
            return super().train_step(batch, **fit_params)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        # After the except block the tensors of the failed step are free.
        size = get_len(batch[0])
        fits = self._batch_size_that_fits(batch)
        advice = f"batch_size={fits} fits"
        if not fits:
            advice = "not even one crop fits: try a shorter crop_length, a smaller embedding_dim"
            advice += " or device='cpu'"
        raise MemoryError(
            f"a step of batch_size={size} crops does not fit into the memory of"
            f" {self.device!r}; {advice}"
        )

    def _batch_size_that_fits(self, batch: Batch) -> int:
        """Halve a batch until a step fits into memory; 0 if none does."""
        size = get_len(batch[0]) // 2
        while size:
            self.module_.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            try:
                self.train_step_single(_first(batch, size))
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
            else:
                break
            size //= 2
        return size


def _first(values: Any, size: int) -> Any:
    """Take the first samples of tensors in tuples and dicts."""
    if isinstance(values, dict):
        return {name: value[:size] for name, value in values.items()}
    if isinstance(values, tuple):
        return tuple(_first(value, size) for value in values)
    return values[:size]


def _is_out_of_memory(error: Exception) -> bool:
    """Tell whether memory ran out; on a CPU torch has no error class for that."""
    kinds = MemoryError, torch.OutOfMemoryError
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
