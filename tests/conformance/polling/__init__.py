"""A small worker on the unary calls, with stubs and threads alone: the kit is fair to workers that poll."""
