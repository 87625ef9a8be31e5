"""Thin translations between HTTP frameworks and the guard; they decide nothing about sessions."""
