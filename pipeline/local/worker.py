"""A worker process of a local run: Beam's own, quiet, and gone at once when there is no more to do."""

import contextlib
import logging
import os
import sys

# Beam's own start-up lines are for nobody. With a handler there is no other that writes to the terminal.
logging.getLogger().addHandler(logging.NullHandler())


def main() -> None:
    """Work until the launcher has no more to do."""
    from apache_beam.runners.worker import sdk_worker_main

    code = 1
    try:
        # Beam prints an error's traceback, and sends it to the launcher, which tells it in its own way.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            sdk_worker_main.main(sys.argv)
        code = 0
    finally:
        # Taking down the interpreter and the threads of gRPC takes a second or two, after all is done.
        os._exit(code)


if __name__ == "__main__":
    main()
