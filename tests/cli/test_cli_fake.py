"""The stand-in for the SDK's client must not drift from it."""

from __future__ import annotations

import inspect

from buildrunner_parallel.client import Client


def test_the_fake_client_takes_what_the_real_one_takes(fake_class):
    compared = 0
    for name, fake in inspect.getmembers(fake_class, inspect.isfunction):
        if name.startswith("_"):
            continue
        real = inspect.signature(getattr(Client, name)).parameters
        for parameter in inspect.signature(fake).parameters.values():
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                assert parameter.name in real, f"{name}({parameter.name})"
                assert parameter.kind == real[parameter.name].kind, f"{name}({parameter.name})"
                compared += 1
    assert compared > 40
