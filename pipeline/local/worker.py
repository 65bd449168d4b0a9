"""A worker process of a local run: Beam's own, quiet, and gone at once when there is no more to do."""

import contextlib
import logging
import os
import sys

from hdnet.transforms import text

# Beam's own start-up lines interest nobody. With a handler there is no other that writes to the terminal.
logging.getLogger().addHandler(logging.NullHandler())


def main() -> None:
    """Work until the launcher has no more to do."""
    from apache_beam.runners.worker import sdk_worker_main

    code = 1
    try:
        # Beam prints the traceback of an error in the work and sends it to the launcher, which shows it its own way.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            sdk_worker_main.main(sys.argv)
        code = 0
    except Exception as error:  # it was not in the work: the launcher hears only that the process has ended
        print(text.visible(f"a worker failed: {type(error).__name__}: {error}"), file=sys.stderr)
    finally:
        # Taking down the interpreter and the threads of gRPC takes a second or two, after all is done.
        os._exit(code)


if __name__ == "__main__":
    main()
