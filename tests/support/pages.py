"""Pages of documentation, run: what they say to type is typed, what they say to see is looked for."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import signal
import sys
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
REDIS = "redis://localhost:6379"
"""The url that pages use; the test's server takes its place, and nothing else on a page is replaced."""

DEADLINE = 30.0  # seconds; reached only by a failure

FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block and the line of the page it begins in."""

    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = [Block(each[1], each[2], page.count("\n", 0, each.start(2)) + 1) for each in FENCE.finditer(page)]
    assert len(found) * 2 == len(re.findall(r"^\s*```", page, re.MULTILINE)), "a fence is indented, or not closed"
    return found


@dataclass(frozen=True)
class Typed:
    """A command of a console block and what the page shows below it."""

    command: str
    shown: list[str] = field(default_factory=list)


def typed(text: str) -> list[Typed]:
    """Split a console block at its prompts."""
    commands: list[Typed] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            commands.append(Typed(line.removeprefix("$ ")))
        else:
            assert commands, f"output without a command: {line!r}"
            commands[-1].shown.append(line)
    return commands


class Terminal:
    """What the processes of a page print, claimed line by line: two of them may print in either order.

    Each has a pipe of its own, so that the lines of two never run into each other.
    """

    def __init__(self) -> None:
        self._begun: dict[int, bytes] = {}
        self._unclaimed: list[str] = []
        self._printed: list[str] = []
        self._more = asyncio.Event()

    def opened(self) -> int:
        """Make a place for a process to write to; the caller closes its own copy."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self._begun[reading] = b""
        asyncio.get_running_loop().add_reader(reading, self._read, reading)
        return writing

    async def saw(self, shown: str, *, more: bool) -> None:
        """Claim a line as the page shows it, an ellipsis standing for anything; where more may come, wait for it."""
        pattern = re.compile(".*".join(map(re.escape, shown.split("…"))))
        for pipe in list(self._begun):
            self._read(pipe)
        try:
            async with asyncio.timeout(DEADLINE):
                while not self._claim(pattern):
                    assert more, f"nobody printed {shown!r}, but:\n{self}"
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"nobody prints {shown!r}, but:\n{self}") from None

    def close(self) -> None:
        for pipe in list(self._begun):
            self._end(pipe)

    def __str__(self) -> str:
        return "\n".join(self._printed)

    def _claim(self, pattern: re.Pattern[str]) -> bool:
        found = next((line for line in self._unclaimed if pattern.fullmatch(line)), None)
        if found is not None:
            self._unclaimed.remove(found)
        return found is not None

    def _read(self, pipe: int) -> None:
        with suppress(BlockingIOError):
            while chunk := os.read(pipe, 1 << 16):
                *lines, self._begun[pipe] = (self._begun[pipe] + chunk).split(b"\n")
                self._printed += (new := [line.decode().rstrip() for line in lines])
                self._unclaimed += new
                self._more.set()
            self._end(pipe)

    def _end(self, pipe: int) -> None:
        asyncio.get_running_loop().remove_reader(pipe)
        os.close(pipe)
        del self._begun[pipe]


class Page:
    """Runs one page from top to bottom, as a reader would: one folder, one shell, one Python prompt.

    - A `python` block that begins with `# name.py` is saved as that file. Any other is run here and now, after
      those before it, with `await` allowed at the top as in `python -m asyncio`.
    - A `console` block is typed: `$ ` begins a command, `&` at its end leaves it running until `kill %1` or
      the page ends, `^C` interrupts it, all other lines must be printed. `python` and `eventbus` are run, and
      must succeed.
      `make` is only asked what it would do, since its targets are this test suite and the demo, which has tests
      of its own; `pip install` would fetch packages, so its extras are looked up instead.
    - Anything else fails, so that nothing on a page goes untested.
    """

    def __init__(self, path: Path, *, url: str, folder: Path) -> None:
        self._path = path
        self._url = url
        self._folder = folder
        self._environment = _environment(folder)
        self._module = ModuleType("__main__")
        self._terminal = Terminal()
        self._running: list[asyncio.subprocess.Process] = []

    async def run(self) -> None:
        """Run every block; then the processes that still run are ended, and must end well."""
        try:
            for block in blocks(self._path.read_text()):
                await self._block(block)
            while self._running:
                await self._end(self._running[0])
        finally:
            for process in self._running:
                if process.returncode is None:
                    process.kill()
                await process.wait()
            self._terminal.close()

    async def _block(self, block: Block) -> None:
        text = block.text.replace(REDIS, self._url)
        match block.language:
            case "python" if name := FILE.match(text):
                compile(text, str(self._path), "exec")
                (self._folder / name[1]).write_text(text)
            case "python":
                await self._execute(text, block.line)
            case "console":
                for each in typed(text):
                    await self._type(each)
            case unknown:
                raise AssertionError(f"{self._path.name}:{block.line}: nobody runs a block of {unknown or 'no language'!r}")

    async def _execute(self, text: str, line: int) -> None:
        # Moved down to its line on the page, so that a traceback points there.
        # What this module imports from __future__ is none of the page's: annotations are what they are at a prompt.
        code = compile("\n" * (line - 1) + text, str(self._path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, vars(self._module))
        if inspect.isawaitable(result):
            await result

    async def _type(self, each: Typed) -> None:
        command, background, _ = each.command.partition(" &")
        words = shlex.split(command)
        match words:
            case ["export", setting]:
                name, _, value = setting.partition("=")
                self._environment[name] = value.replace("$PWD", str(self._folder))
            case ["kill", "%1"]:
                await self._end(self._running[0])
            case ["pip", "install", *packages]:
                _check_packages(packages)
            case ["make", *_]:
                await self._succeeds(await self._start("make", "-n", *words[1:], cwd=ROOT), command)
            case ["python" | "eventbus", *_]:
                await self._run(words, each, background=bool(background))
            case _:
                raise AssertionError(f"{self._path.name}: nobody runs {each.command!r}")

    async def _run(self, words: list[str], each: Typed, *, background: bool) -> None:
        arguments = words[1:] if words[0] == "python" else ["-m", "eventbus", *words[1:]]
        process = await self._start(sys.executable, *arguments, cwd=self._folder)
        shown = [line for line in each.shown if line and line != "^C"]
        if "^C" not in each.shown and not background:
            await self._succeeds(process, each.command)
        for line in shown:
            await self._terminal.saw(line, more=bool(self._running))
        if "^C" in each.shown:
            process.send_signal(signal.SIGINT)
            await self._succeeds(process, each.command)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        process.terminate()
        await self._succeeds(process, "a process that was asked to end")

    async def _start(self, *command: str, cwd: Path) -> asyncio.subprocess.Process:
        output = self._terminal.opened()
        try:
            process = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=self._environment, stdout=output, stderr=output)
        finally:
            os.close(output)
        self._running.append(process)
        return process

    async def _succeeds(self, process: asyncio.subprocess.Process, what: str) -> None:
        async with asyncio.timeout(DEADLINE):
            code = await process.wait()
        self._running.remove(process)
        assert code == 0, f"{what} ended with {code}:\n{self._terminal}"


def _environment(folder: Path) -> dict[str, str]:
    # Neither the settings around the tests nor those of a `make` around it.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("EVENTBUS_", "MAKE", "MFLAGS"))}
    return clean | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}


def _check_packages(packages: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package in packages:
        name, _, extras = package.rstrip("]").partition("[")
        assert name == project["name"], f"{package} is not this package"
        unknown = set(extras.split(",")) - {""} - set(project["optional-dependencies"])
        assert not unknown, f"{package} names extras that do not exist: {unknown}"
