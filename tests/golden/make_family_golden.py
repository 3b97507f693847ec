"""Golden values of the family from PyTorch in float64: python make_family_golden.py > family.json

Every cell, one and two layers, one and both directions, every pooling, over rows of different lengths: torch.nn's own
layers on packed sequences, their gradients by automatic differentiation. Keras' layers, masked, must give the same
states to 1e-6: on PyTorch they go through float32. Needs torch and keras (pip install torch keras).
"""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import torch  # noqa: E402

V, E, H, B, T = 6, 2, 3, 3, 5
IDS = [[1, 4, 5, 4, 2], [1, 2, 5, 0, 0], [3, 0, 0, 0, 0]]
LENGTHS = [5, 3, 1]
LABELS = [1, 0, 1]
GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}
LAYER = {"tanh": torch.nn.RNN, "relu": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}

torch.set_default_dtype(torch.float64)
keras.config.set_floatx("float64")


def number(i):
    """Of the flat buffer of parameters at i; the test makes the same."""
    return (i * 7919 % 1201) / 1000 - 0.6


class Flat:
    """Takes tensors out of the flat buffer in Reel's order, and their gradients back into it."""

    def __init__(self):
        self.count, self.gradients = 0, []

    def take(self, *shape):
        size = torch.Size(shape).numel()
        values = torch.tensor([number(self.count + i) for i in range(size)]).reshape(shape)
        self.count += size
        return values


def layer_of(cell, layers, bidirectional, flat, taken):
    """PyTorch's layer, its parameters from the buffer; `taken` gets (parameter, rows of it that are Reel's)."""
    kind = dict(nonlinearity=cell) if GATES[cell] == 1 else {}
    rnn = LAYER[cell](E, H, num_layers=layers, bidirectional=bidirectional, batch_first=True, **kind)
    gh, parameters = GATES[cell] * H, dict(rnn.named_parameters())
    with torch.no_grad():
        for layer in range(layers):
            for suffix in [f"_l{layer}", f"_l{layer}_reverse"][:1 + bidirectional]:
                width = E if layer == 0 else H * (1 + bidirectional)
                for name, shape in (("weight_ih", (gh, width)), ("weight_hh", (gh, H)), ("bias_ih", (gh,))):
                    parameters[name + suffix].copy_(flat.take(*shape))
                    taken.append((parameters[name + suffix], 0))
                second = parameters["bias_hh" + suffix]
                second.zero_()
                if cell == "gru":
                    second[2 * H:] = flat.take(H)
                    taken.append((second, 2 * H))
    return rnn


def pooled(states, final, pool):
    """Of states [B, T, D H], with rows of LENGTHS, and the directions' final states."""
    inside = (torch.arange(T) < torch.tensor(LENGTHS)[:, None])[:, :, None]
    parts = dict(last=torch.cat(list(final), dim=1),
                 mean=torch.where(inside, states, 0.0).sum(dim=1) / torch.tensor(LENGTHS)[:, None],
                 max=torch.where(inside, states, -torch.inf).amax(dim=1))
    return torch.cat(list(parts.values()), dim=1) if pool == "concat" else parts[pool]


def keras_states(cell, layers, bidirectional, rnn, embedded):
    """The same stack in Keras: its gates are z, r, h and i, f, c, o; matrices are [in, units]."""
    order = {"gru": [1, 0, 2], "lstm": [0, 1, 2, 3]}.get(cell, [0])
    parameters = dict(rnn.named_parameters())

    def reordered(tensor):
        return torch.cat([tensor.detach()[g * H:(g + 1) * H] for g in order]).numpy()

    def direction(suffix, backwards):
        width = parameters["weight_ih" + suffix].shape[1]
        made = dict(gru=keras.layers.GRU, lstm=keras.layers.LSTM).get(cell, keras.layers.SimpleRNN)
        kind = {} if cell in ("gru", "lstm") else dict(activation=cell)
        layer = made(H, dtype="float64", return_sequences=True, go_backwards=backwards, **kind)
        layer.build((B, T, width))
        biases = [reordered(parameters[name + suffix]) for name in ("bias_ih", "bias_hh")]
        bias = torch.tensor(biases).numpy() if cell == "gru" else biases[0]
        layer.set_weights([reordered(parameters["weight_ih" + suffix]).T, reordered(parameters["weight_hh" + suffix]).T, bias])
        return layer

    states, mask = embedded.detach(), torch.arange(T) < torch.tensor(LENGTHS)[:, None]
    for k in range(layers):
        forward = direction(f"_l{k}", False)(states, mask=mask)
        if not bidirectional:
            states = forward
            continue
        backward = torch.flip(direction(f"_l{k}_reverse", True)(states, mask=mask), [1])
        states = torch.cat([forward, backward], dim=2)
    return states


def model(cell, layers, bidirectional, pool, outputs=1):
    """Logits [B, C], and what gives all gradients in Reel's order, once they have been computed."""
    flat, taken = Flat(), []
    embedding = torch.nn.Parameter(flat.take(V, E))
    rnn = layer_of(cell, layers, bidirectional, flat, taken)
    width = H * (1 + bidirectional) * (3 if pool == "concat" else 1)
    weight, bias = torch.nn.Parameter(flat.take(outputs, width)), torch.nn.Parameter(flat.take(outputs))

    embedded = embedding[torch.tensor(IDS)]
    packed = torch.nn.utils.rnn.pack_padded_sequence(embedded, torch.tensor(LENGTHS), batch_first=True)
    output, final = rnn(packed)
    final = (final[0] if cell == "lstm" else final)[-1 - bidirectional:]
    states, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=T)

    inside = (torch.arange(T) < torch.tensor(LENGTHS)[:, None])[:, :, None]
    theirs = keras_states(cell, layers, bidirectional, rnn, embedded)
    assert torch.allclose(torch.where(inside, theirs, 0.0), torch.where(inside, states, 0.0), atol=1e-6)

    def gradient():
        gradients = [embedding.grad, *[p.grad[first:] for p, first in taken], weight.grad, bias.grad]
        return [x for g in gradients for x in g.flatten().tolist()]

    return pooled(states, final, pool) @ weight.T + bias, gradient


def case(cell, layers, bidirectional, pool):
    logits, gradient = model(cell, layers, bidirectional, pool)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor(LABELS).double())
    loss.backward()
    return dict(cell=cell, layers=layers, bidirectional=bidirectional, pool=pool, logits=logits[:, 0].tolist(),
                loss=loss.item(), gradient=gradient())


def main():
    cases = [case(cell, layers, bidirectional, pool) for cell in GATES for layers in (1, 2) for bidirectional in (False, True)
             for pool in ("last", "mean", "max", "concat")]
    json.dump(dict(torch=torch.__version__, keras=keras.__version__, V=V, E=E, H=H, ids=IDS, lengths=LENGTHS,
                   labels=LABELS, cases=cases), sys.stdout)
    print()


if __name__ == "__main__":
    main()
