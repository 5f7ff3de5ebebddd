"""The conformance kit: one description of scenarios, run against clients and workers in any language.

    programs     what is under test: found in client/*/conformance.json, or named on the command line
    stage        one scenario's coordinator, programs and observer, in a folder of its own
    interposer   stands between a program and the coordinator, and changes messages
    silence      stands between them below gRPC, and goes silent or cuts
    scenarios/   what must hold, one function each
    running      runs a scenario and says how it went
    table        language by scenario, printed and kept in docs/clients.md

README.md is the contract that a program under test keeps.
"""
