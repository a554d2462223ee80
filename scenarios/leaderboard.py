"""Scores of games, and the leaderboard they make: the games of a player count in the order in which they were played.

Promised: each game counts once and in its place, though who does better than the game before gets the points twice, so
that the order matters. A game whose worker died is counted again by another one; the player's row knows the last game.

Look at `ordered=True` and the `key` it goes by, and at the `WHERE` that leaves out what counted before.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from eventbus import Event, EventBus

DATABASE = Path(os.environ.get("SCENARIO_FOLDER", ".")) / "leaderboard.sqlite3"
TABLE = "CREATE TABLE IF NOT EXISTS players (player TEXT PRIMARY KEY, score INTEGER, game INTEGER, points INTEGER)"
COUNT = """
    INSERT INTO players VALUES (:player, :points, :game, :points) ON CONFLICT (player) DO UPDATE
    SET score = score + excluded.points * iif(excluded.points > points, 2, 1), game = excluded.game, points = excluded.points
    WHERE excluded.game > game
"""


class GameFinished(Event, topic="games", key="player"):
    player: str
    game: int
    points: int


bus = EventBus(os.environ.get("EVENTBUS_URL") or "embedded://", service="scores")


@bus.subscribe(GameFinished, group="leaderboard", ordered=True, concurrency=8)
def count(finished: GameFinished) -> None:
    """Count a game, unless it counted before."""
    with leaderboard() as db:
        db.execute(COUNT, finished.model_dump())
    time.sleep(0.01)  # the player is told


@contextmanager
def leaderboard() -> Generator[sqlite3.Connection]:
    """Open the leaderboard, for one transaction."""
    with closing(sqlite3.connect(DATABASE, timeout=30, isolation_level="IMMEDIATE")) as db, db:
        db.execute(TABLE)
        yield db


def top(most: int = 10) -> list[tuple[str, int, int]]:
    """List the best players: names, scores and numbers of games."""
    with leaderboard() as db:
        return db.execute("SELECT player, score, game FROM players ORDER BY score DESC, player LIMIT ?", (most,)).fetchall()


def played(games: range, *, players: int = 16) -> list[GameFinished]:
    """What the players do in these rounds."""
    return [
        GameFinished(player=f"player-{player:02}", game=game, points=(game * (17 + 3 * player) + player) % 101)
        for game in games
        for player in range(1, players + 1)
    ]


async def main() -> None:
    DATABASE.unlink(missing_ok=True)
    async with bus.consuming():
        await bus.publish_many(played(range(1, 11)))
        while sum(games for _, _, games in top(100)) < 16 * 10:
            await asyncio.sleep(0.05)
    for place, (player, score, games) in enumerate(top(), 1):
        print(f"{place:2}. {player}  {score:5} points in {games} games")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
