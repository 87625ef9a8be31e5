"""No order of buyers sells what is not there."""

from shop.stock import Stock


def three_buyers(s):
    """Three threads want the only one."""
    stock = Stock(1)
    s.adopt(stock)  # so that waiting for its lock is seen

    def buy(me):
        with s.history.record(me, "buy") as op:
            op.ok(stock.take())

    def one_is_sold_once(history):
        assert [operation.result for operation in history.operations].count(True) <= 1, "sold twice"

    for name in ("ada", "bob", "cy"):
        s.worker(name, lambda name=name: buy(name))
    s.check(one_is_sold_once)


def test_one_is_sold_once(interleave):
    """Whatever the order: proved for all schedules at the declared points."""
    interleave(three_buyers, proof=True)
