"""Golden values from PyTorch and Keras in float64: python make_golden.py > golden.json

Needs torch and keras (pip install torch keras). The model is written here once more, from the formulas, with PyTorch's
automatic differentiation; for full rows it is checked against torch.nn.RNN. Optimizers are torch.optim's and
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
NAMES = ["embedding", "weight_ih", "weight_hh", "bias", "fc_weight", "fc_bias"]
SHAPES = [(V, E), (H, E), (H, H), (H,), (1, H), (1,)]
STEPS = 10

torch.set_default_dtype(torch.float64)
keras.config.set_floatx("float64")


def start():
    generator = torch.Generator().manual_seed(11)
    return [torch.empty(shape).uniform_(-0.6, 0.6, generator=generator).requires_grad_() for shape in SHAPES]


def logits(parameters, nonlinearity, pool, masked):
    embedding, weight_ih, weight_hh, bias, fc_weight, fc_bias = parameters
    ids, lengths = torch.tensor(IDS), torch.tensor(LENGTHS if masked else [T] * B)
    act = torch.tanh if nonlinearity == "tanh" else torch.relu
    h, total = torch.zeros(B, H), torch.zeros(B, H)
    for t in range(T):
        runs = (t < lengths)[:, None]
        h = torch.where(runs, act(embedding[ids[:, t]] @ weight_ih.T + bias + h @ weight_hh.T), h)
        total = total + torch.where(runs, h, torch.zeros(()))
    state = h if pool == "last" else total / lengths.clamp(min=1)[:, None]
    return (state @ fc_weight.T + fc_bias)[:, 0]


def check_against_torch_rnn(parameters):
    rnn = torch.nn.RNN(E, H, batch_first=True)
    with torch.no_grad():
        for to, value in zip(rnn.parameters(), [*parameters[1:4], torch.zeros(H)]):
            to.copy_(value)
        _, last = rnn(parameters[0][torch.tensor(IDS)])
        expected = (last[0] @ parameters[4].T + parameters[5])[:, 0]
        assert torch.allclose(expected, logits(parameters, "tanh", "last", False), atol=1e-14)


def loss_of(parameters, **model):
    return torch.nn.functional.binary_cross_entropy_with_logits(logits(parameters, **model), torch.tensor(LABELS).double())


def flat(tensors):
    return [x for tensor in tensors for x in tensor.detach().flatten().tolist()]


def model_case(nonlinearity, pool, masked):
    parameters = start()
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
    check_against_torch_rnn(start())
    models = [model_case(n, p, m) for n in ("tanh", "relu") for p in ("last", "mean") for m in (True, False)]
    golden = dict(torch=torch.__version__, keras=keras.__version__, V=V, E=E, H=H, ids=IDS, lengths=LENGTHS,
                  labels=LABELS, parameters=flat(start()), models=models, optimizers=optimizer_cases(), lr=0.02)
    json.dump(golden, sys.stdout, indent=None)
    print()


if __name__ == "__main__":
    main()
