"""What can go wrong with the embedded stack, each error with the thing to do.

EmbeddedError
├── SettingError        a variable or an argument is wrong
├── PortTakenError      somebody else listens on a port that a service wants
├── StateError          the state directory cannot be used as it is
└── ServiceFailedError  a service died, or did not become healthy
"""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """Base of the errors of the embedded stack."""


class SettingError(EmbeddedError):
    """A setting of the stack is wrong.

    Attributes:
        variable: The environment variable.
        problem: What was found and what was expected.
        cure: What to do instead.
    """

    def __init__(self, variable: str, problem: str, cure: str) -> None:
        super().__init__(variable, problem, cure)
        self.variable = variable
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem}. {self.cure}"


class PortTakenError(EmbeddedError):
    """A port that a service wants is taken.

    Attributes:
        port: The port, on 127.0.0.1.
        purpose: What the stack wants it for.
        variable: The environment variable that moves it.
    """

    def __init__(self, port: int, purpose: str, variable: str) -> None:
        super().__init__(port, purpose, variable)
        self.port = port
        self.purpose = purpose
        self.variable = variable

    def __str__(self) -> str:
        return (
            f"Port {self.port} of 127.0.0.1 is taken, and {self.purpose} wants it. "
            f"Stop what listens there, or choose another port with {self.variable}=<port>. Nothing was started."
        )


class StateError(EmbeddedError):
    """The state directory cannot be used as it is.

    Attributes:
        path: The file or directory.
        problem: What is wrong with it.
        cure: What to do.
    """

    def __init__(self, path: Path, problem: str, cure: str) -> None:
        super().__init__(path, problem, cure)
        self.path = path
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}. {self.cure}"


class ServiceFailedError(EmbeddedError):
    """A service died, or did not become healthy in time.

    Attributes:
        service: Its name.
        reason: What happened.
        log_file: Where it wrote.
        log_tail: The last lines of that file.
    """

    def __init__(self, service: str, reason: str, log_file: Path, log_tail: str) -> None:
        super().__init__(service, reason, log_file, log_tail)
        self.service = service
        self.reason = reason
        self.log_file = log_file
        self.log_tail = log_tail

    def __str__(self) -> str:
        return f"{self.service} {self.reason}. The end of {self.log_file}:\n{self.log_tail}"
