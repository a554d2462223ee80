"""A leaderboard, while the worker that counts is killed."""

from __future__ import annotations

from itertools import count

from scenarios import leaderboard
from tests.support.crew import crew, until


def expected(games):
    """The leaderboard of some games, counted in their order."""
    board, last = {}, {}
    for each in games:
        score, played = board.get(each.player, (0, 0))
        better = played and each.points > last[each.player]
        board[each.player] = score + each.points * (2 if better else 1), played + 1
        last[each.player] = each.points
    return sorted(((player, *counted) for player, counted in board.items()), key=lambda row: (-row[1], row[0]))


async def test_every_game_counts_once_and_in_its_place(url, tmp_path, monkeypatch):
    """The worker that stood by goes on with the games that the dead one held, in their order."""
    monkeypatch.setattr(leaderboard, "DATABASE", tmp_path / "leaderboard.sqlite3")
    games, rounds, ids = [], count(1, 5), {}

    async def play() -> set[str]:
        begin = next(rounds)
        new = leaderboard.played(range(begin, begin + 5))
        records = await workers.bus.publish_many(new)
        games.extend(new)
        ids.update({(game.player, game.game): record.event_id for game, record in zip(new, records, strict=True)})
        await until(lambda: any(games >= begin for _, _, games in leaderboard.top(100)))
        return {ids[player, games] for player, _, games in leaderboard.top(100)}

    async with crew("leaderboard", url, tmp_path) as workers:
        await workers.joined("games", "leaderboard")
        await workers.lose_one("games", group="leaderboard", work=play)
        await workers.settled("games")
        await workers.leave()

    assert leaderboard.top(100) == expected(games)
