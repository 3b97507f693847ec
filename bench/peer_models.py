"""What peers.py and peers_gpu.py share: the recipe's classifier in PyTorch and in Keras, its data, and runs of Reel."""
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import measure
import tensors

VOCABULARY, STEPS, WIDTH, BATCH = 10000, 200, 128, 64
UNKNOWN, DROPOUT, WORD_DROPOUT, RATE = 2, 0.5, 0.2, 1e-3
# Small steps keep apart what computes something else and what rounds otherwise: Keras' bias correction is float32.
GATE_STEPS, GATE_RATE = 10, 1e-4
CELLS = {"tanh": ("RNN", 1), "gru": ("GRU", 3), "lstm": ("LSTM", 4)}  # PyTorch's module and its gates


@dataclasses.dataclass(frozen=True)
class Network:
    """Which recurrent layers the recipe's classifier has."""
    cell: str = "tanh"
    layers: int = 1
    bidirectional: bool = False

    @property
    def directions(self):
        return 2 if self.bidirectional else 1

    @property
    def gates(self):
        return CELLS[self.cell][1] * WIDTH

    def flags(self):
        """Of reel train."""
        return ["--cell", self.cell, "--layers", self.layers, *["--bidirectional"] * self.bidirectional]

    def suffixes(self):
        """What PyTorch's names of parameters end with, and the width of what that layer reads."""
        for layer in range(self.layers):
            for suffix in ("", "_reverse")[:self.directions]:
                yield f"_l{layer}{suffix}", WIDTH if layer == 0 else self.directions * WIDTH


RECIPE = Network()


def read_rows(folder, split):
    """Rows as Reel makes them, the last 200 ids, left-aligned: ids [N, 200], lengths [N], labels [N]."""
    ranks, lengths, labels = tensors.read(os.path.join(folder, "tokens.safetensors"),
                                          [f"{split}.{name}" for name in ("ranks", "lengths", "labels")])
    rows, kept, begin = np.zeros((len(lengths), STEPS), dtype=np.int64), np.empty(len(lengths), dtype=np.int64), 0
    for i, length in enumerate(lengths):
        ids = ranks[begin:begin + length] + 3
        begin += length
        ids = np.concatenate([[1], np.where((ids >= VOCABULARY) | (ids == 3), UNKNOWN, ids)])[-STEPS:]
        rows[i, :len(ids)], kept[i] = ids, len(ids)
    return rows, kept, labels.astype(np.float32)


def initial_weights(network=RECIPE):
    """Drawn as Keras draws them; PyTorch's names and layouts."""
    random = np.random.default_rng(1)
    uniform = lambda limit, *shape: random.uniform(-limit, limit, shape).astype(np.float32)
    weights, gates, last = {"embedding.weight": uniform(0.05, VOCABULARY, WIDTH)}, network.gates, network.directions * WIDTH
    for suffix, inputs in network.suffixes():
        orthogonal, upper = np.linalg.qr(random.normal(size=(gates, WIDTH)))
        weights |= {f"rnn.weight_ih{suffix}": uniform((6 / (inputs + gates)) ** 0.5, gates, inputs),
                    f"rnn.weight_hh{suffix}": (orthogonal * np.sign(np.diag(upper))).astype(np.float32),
                    f"rnn.bias_ih{suffix}": np.zeros(gates, np.float32),
                    f"rnn.bias_hh{suffix}": np.zeros(gates, np.float32)}
    return weights | {"fc.weight": uniform((6 / (last + 1)) ** 0.5, 1, last), "fc.bias": np.zeros(1, np.float32)}


class Reel:
    """Runs `reel train` on a prepared folder, each run in a folder of its own."""

    def __init__(self, program, data, folder, *flags):
        self.folder = folder
        self.command = [program, "train", "--data", data, "--quiet", *flags]

    def new_run(self):
        return Path(tempfile.mkdtemp(dir=self.folder)) / "run"

    def train(self, *flags):
        """The run's folder, seconds from start to end, peak memory in bytes."""
        run = self.new_run()
        return run, *measure.run([*self.command, "--out", run, *flags])[:2]

    def losses(self, convention, network, *flags):
        """Of the first GATE_STEPS steps from initial_weights(), without dropout, reviews in their order."""
        weights = os.path.join(self.folder, "weights.safetensors")
        tensors.write(weights, initial_weights(network))
        run = self.train("--init-from", weights, "--convention", convention, "--dropout", 0, "--word-dropout", 0,
                         "--shuffle", "off", "--schedule", "constant", "--warmup", 0, "--lr", GATE_RATE,
                         "--max-steps", GATE_STEPS, "--log-every", 1, *network.flags(), *flags)[0]
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if line["split"] == "train"]


class TorchPeer:
    """nn.RNN, nn.GRU or nn.LSTM in one of its ways: padded, packed, or padded and compiled."""

    def __init__(self, way, threads, device="cpu", network=RECIPE):
        import torch
        from torch import nn

        torch.set_flush_denormal(True)  # before its threads begin; as Reel does: some processors are slow with them
        torch.set_num_threads(threads)
        self.torch = torch
        self.version = f"PyTorch {torch.__version__}"

        class Classifier(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(VOCABULARY, WIDTH)
                self.rnn = getattr(nn, CELLS[network.cell][0])(
                    WIDTH, WIDTH, num_layers=network.layers, bidirectional=network.bidirectional, batch_first=True)
                self.dropout = nn.Dropout(DROPOUT)
                self.fc = nn.Linear(network.directions * WIDTH, 1)

            def forward(self, ids, lengths):
                embedded = self.embedding(ids)
                if way == "packed":
                    sequence = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True,
                                                                 enforce_sorted=False)
                    state = self.rnn(sequence)[1]
                    state = state[0] if network.cell == "lstm" else state
                    last = torch.cat(tuple(state[-network.directions:]), dim=1)
                else:  # of one direction: another one would begin in the padding
                    last = self.rnn(embedded)[0][torch.arange(len(ids), device=ids.device), lengths - 1]
                return self.fc(self.dropout(last)).squeeze(1)

        self.model = Classifier().to(device)
        self.model.load_state_dict({name: torch.from_numpy(value) for name, value in initial_weights(network).items()})
        for suffix, _ in network.suffixes():
            self.freeze(getattr(self.model.rnn, f"bias_hh{suffix}"), network.cell)
        self.optimizer = torch.optim.Adam((p for p in self.model.parameters() if p.requires_grad), lr=RATE)
        self.run = torch.compile(self.model) if way == "compiled" else self.model

    def freeze(self, bias, cell):
        """A second bias would double the step of the first, but for that of GRU's candidate, which the reset gate scales."""
        if cell != "gru":
            bias.requires_grad_(False)
            return
        own = self.torch.ones_like(bias, requires_grad=False)
        own[:2 * WIDTH] = 0
        bias.register_hook(lambda gradient: gradient * own)

    def step(self, ids, lengths, labels, dropout=True, rate=RATE):
        torch = self.torch
        self.model.train(dropout)
        self.optimizer.param_groups[0]["lr"] = rate
        ids = torch.from_numpy(ids)
        if dropout:
            ids = torch.where(torch.rand(ids.shape) < WORD_DROPOUT, UNKNOWN, ids)
        self.optimizer.zero_grad()
        logits = self.run(ids, torch.from_numpy(lengths))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def logits(self, ids, lengths):
        self.model.eval()
        with self.torch.inference_mode():
            return self.model(self.torch.from_numpy(ids), self.torch.from_numpy(lengths)).numpy()


class KerasPeer:
    """SimpleRNN with mask_zero, trained by Keras' own train_on_batch."""

    def __init__(self, backend, threads):
        os.environ["KERAS_BACKEND"] = backend
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        import keras

        if backend == "torch":
            import torch

            torch.set_num_threads(threads)
        else:
            import tensorflow

            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
        self.version = f"Keras {keras.__version__}, {backend} " + sys.modules[backend].__version__
        self.dropout = keras.layers.Dropout(DROPOUT)
        self.model = keras.Sequential([
            keras.layers.Embedding(VOCABULARY, WIDTH, mask_zero=True), keras.layers.SimpleRNN(WIDTH), self.dropout,
            keras.layers.Dense(1)])
        self.model.build((None, STEPS))
        weights = initial_weights()
        self.model.set_weights([
            weights["embedding.weight"], weights["rnn.weight_ih_l0"].T, weights["rnn.weight_hh_l0"].T,
            weights["rnn.bias_ih_l0"], weights["fc.weight"].T, weights["fc.bias"]])
        self.model.compile(optimizer=keras.optimizers.Adam(RATE, global_clipnorm=1.0),
                           loss=keras.losses.BinaryCrossentropy(from_logits=True))

    def step(self, ids, lengths, labels, dropout=True, rate=RATE):
        self.dropout.rate = DROPOUT if dropout else 0.0
        self.model.optimizer.learning_rate.assign(rate)
        if dropout:
            ids = np.where((np.random.rand(*ids.shape) < WORD_DROPOUT) & (ids > 0), UNKNOWN, ids)
        self.model.reset_metrics()
        return float(np.asarray(self.model.train_on_batch(ids, labels)).reshape(-1)[0])

    def logits(self, ids, lengths):
        return np.asarray(self.model.predict_on_batch(ids)).squeeze(1)


def make_peer(name, threads):
    """torch_padded, torch_packed, torch_compiled, keras_tensorflow or keras_torch; of PyTorch also with a cell behind it."""
    library, way, _ = split_name(name)
    return TorchPeer(way, threads, network=network_of(name)) if library == "torch" else KerasPeer(way, threads)


def split_name(name):
    """Library, way and cell of a peer."""
    library, way, *cell = name.split("_")
    return library, way, cell[0] if cell else RECIPE.cell


def network_of(name):
    return Network(split_name(name)[2])
