"""The stores we have, one folder or file each. A store imports the port and the values, no engine and no other store."""
