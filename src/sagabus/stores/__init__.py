"""The stores we have, one folder or file each; a store imports the port and the values, never the engine or another store."""
