"""The one page that a browser is shown, the same in every application."""

HOME = """<!doctype html>
<title>Home</title>
<p id="owner">{owner}</p>
<form method="post" action="/logout"><button id="logout">Log out</button></form>
"""
