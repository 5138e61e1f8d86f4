"""Adapters to frameworks around a bus: what a web server or a process manager expects to find.

A module here may import the bus. Nothing of the library imports a module here but the command line.
"""
