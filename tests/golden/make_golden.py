"""Golden values from PyTorch and Keras in float64: python make_golden.py > golden.json

Needs torch and keras (pip install torch keras). The model is written here once more, from the formulas, with PyTorch's
automatic differentiation; for full rows it is checked against torch.nn.RNN, GRU and LSTM, and keras.layers.GRU and LSTM.
Optimizers are torch.optim's and
keras.optimizers' own.
"""

import json
import os
import sys

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras  # noqa: E402
import torch  # noqa: E402

V, E, H, B, T = 9, 4, 5, 4, 6
IDS = [[1, 4, 5, 4, 8, 2], [1, 2, 5, 0, 0, 0], [0] * 6, [1, 7, 7, 0, 0, 0]]
LENGTHS = [6, 3, 0, 3]
LABELS = [1, 0, 1, 0]
STEPS = 10

torch.set_default_dtype(torch.float64)
keras.config.set_floatx("float64")


GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}


def start(cell="tanh"):
    """A GRU has the candidate's recurrent bias behind the other."""
    generator, g = torch.Generator().manual_seed(11), GATES[cell] * H
    shapes = [(V, E), (g, E), (g, H), (g,), *([(H,)] if cell == "gru" else []), (1, H), (1,)]
    return [torch.empty(shape).uniform_(-0.6, 0.6, generator=generator).requires_grad_() for shape in shapes]


def step(cell, x, u, b_hh, h, c):
    """h and c after a step: x is the projected input, u is W_hh h."""
    if cell == "tanh" or cell == "relu":
        return (torch.tanh if cell == "tanh" else torch.relu)(x + u), c
    if cell == "gru":
        r, z, m = torch.sigmoid(x + u)[:, :H], torch.sigmoid(x + u)[:, H:2 * H], u[:, 2 * H:] + b_hh
        return (1 - z) * torch.tanh(x[:, 2 * H:] + r * m) + z * h, c
    i, f, g, o = (x + u).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def logits(parameters, nonlinearity, pool, masked):
    embedding, weight_ih, weight_hh, bias, *b_hh, fc_weight, fc_bias = parameters
    ids, lengths = torch.tensor(IDS), torch.tensor(LENGTHS if masked else [T] * B)
    h, c, total = torch.zeros(B, H), torch.zeros(B, H), torch.zeros(B, H)
    for t in range(T):
        runs = (t < lengths)[:, None]
        x, u = embedding[ids[:, t]] @ weight_ih.T + bias, h @ weight_hh.T
        after, cell = step(nonlinearity, x, u, b_hh[0] if b_hh else None, h, c)
        h, c = torch.where(runs, after, h), torch.where(runs, cell, c)
        total = total + torch.where(runs, h, torch.zeros(()))
    state = h if pool == "last" else total / lengths.clamp(min=1)[:, None]
    return (state @ fc_weight.T + fc_bias)[:, 0]


def check_against_torch(cell):
    """PyTorch's own layer, on full rows."""
    parameters = start(cell)
    layer = {"tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[cell](E, H, batch_first=True)
    b_hh = torch.zeros(GATES[cell] * H)
    if cell == "gru":
        b_hh[2 * H:] = parameters[4].detach()
    with torch.no_grad():
        for to, value in zip(layer.parameters(), [*parameters[1:4], b_hh]):
            to.copy_(value)
        states, _ = layer(parameters[0][torch.tensor(IDS)])
        expected = (states[:, -1] @ parameters[-2].T + parameters[-1])[:, 0]
        assert torch.allclose(expected, logits(parameters, cell, "last", False), rtol=0, atol=1e-14)


def check_against_keras(cell):
    """Keras' own layer: its gates are z, r, h and i, f, c, o; matrices are [in, units]."""
    parameters = start(cell)
    order = [1, 0, 2] if cell == "gru" else [0, 1, 2, 3]

    def reordered(tensor):
        return torch.cat([tensor.detach()[g * H:(g + 1) * H] for g in order]).numpy()

    layer = (keras.layers.GRU if cell == "gru" else keras.layers.LSTM)(H, dtype="float64")
    layer.build((B, T, E))
    bias = reordered(parameters[3])
    if cell == "gru":
        recurrent = torch.cat([torch.zeros(2 * H), parameters[4].detach()])
        bias = torch.stack([torch.from_numpy(bias), recurrent]).numpy()
    layer.set_weights([reordered(parameters[1]).T, reordered(parameters[2]).T, bias])
    last = layer(parameters[0].detach()[torch.tensor(IDS)])
    expected = (last @ parameters[-2].T + parameters[-1])[:, 0]
    assert torch.allclose(expected, logits(parameters, cell, "last", False), rtol=0, atol=1e-6)  # through float32


def loss_of(parameters, **model):
    return torch.nn.functional.binary_cross_entropy_with_logits(logits(parameters, **model), torch.tensor(LABELS).double())


def flat(tensors):
    return [x for tensor in tensors for x in tensor.detach().flatten().tolist()]


def model_case(nonlinearity, pool, masked):
    parameters = start(nonlinearity)
    model = dict(nonlinearity=nonlinearity, pool=pool, masked=masked)
    loss_of(parameters, **model).backward()
    return dict(model, logits=logits(parameters, **model).tolist(), loss=loss_of(parameters, **model).item(),
                gradient=flat(p.grad for p in parameters))


def torch_case(name, make):
    parameters = start()
    optimizer, losses = make(parameters), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(parameters, nonlinearity="tanh", pool="last", masked=True)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    return dict(optimizer=name, convention="torch", losses=losses, parameters=flat(parameters))


def keras_case(name, optimizer):
    variables = [keras.Variable(p.detach().numpy(), dtype="float64") for p in start()]
    optimizer.build(variables)
    losses = []
    for _ in range(STEPS):
        parameters = [v.value.detach().clone().requires_grad_() for v in variables]
        loss = loss_of(parameters, nonlinearity="tanh", pool="last", masked=True)
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            optimizer.apply_gradients(zip([p.grad for p in parameters], variables))
    return dict(optimizer=name, convention="keras", losses=losses, parameters=flat(v.value for v in variables))


def optimizer_cases():
    o, k = torch.optim, keras.optimizers
    return [
        torch_case("adam", lambda p: o.Adam(p, lr=0.02)),
        torch_case("adam+decay", lambda p: o.Adam(p, lr=0.02, weight_decay=0.1)),
        torch_case("adamw", lambda p: o.AdamW(p, lr=0.02)),
        torch_case("sgd", lambda p: o.SGD(p, lr=0.02)),
        torch_case("sgd+momentum", lambda p: o.SGD(p, lr=0.02, momentum=0.9)),
        torch_case("sgd+nesterov", lambda p: o.SGD(p, lr=0.02, momentum=0.9, nesterov=True)),
        torch_case("rmsprop", lambda p: o.RMSprop(p, lr=0.02)),
        torch_case("rmsprop+momentum", lambda p: o.RMSprop(p, lr=0.02, momentum=0.9)),
        torch_case("adagrad", lambda p: o.Adagrad(p, lr=0.02)),
        keras_case("adam", k.Adam(0.02)),
        keras_case("adam+decay", k.Adam(0.02, weight_decay=0.1)),
        keras_case("adamw", k.AdamW(0.02)),
        keras_case("sgd", k.SGD(0.02)),
        keras_case("sgd+momentum", k.SGD(0.02, momentum=0.9)),
        keras_case("sgd+nesterov", k.SGD(0.02, momentum=0.9, nesterov=True)),
        keras_case("rmsprop", k.RMSprop(0.02)),
        keras_case("rmsprop+momentum", k.RMSprop(0.02, momentum=0.9)),
        keras_case("adagrad", k.Adagrad(0.02)),
    ]


def main():
    for cell in ("tanh", "gru", "lstm"):
        check_against_torch(cell)
    for cell in ("gru", "lstm"):
        check_against_keras(cell)
    gated = [dict(model_case(n, p, m), parameters=flat(start(n)))
             for n in ("gru", "lstm") for p in ("last", "mean") for m in (True, False)]
    models = [model_case(n, p, m) for n in ("tanh", "relu") for p in ("last", "mean") for m in (True, False)]
    golden = dict(torch=torch.__version__, keras=keras.__version__, V=V, E=E, H=H, ids=IDS, lengths=LENGTHS,
                  labels=LABELS, parameters=flat(start()), models=models, gated=gated, optimizers=optimizer_cases(), lr=0.02)
    json.dump(golden, sys.stdout, indent=None)
    print()


if __name__ == "__main__":
    main()
