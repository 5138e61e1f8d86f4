"""The stores we have, one folder or file each; a store imports the port and the values, no engine, no other store."""
