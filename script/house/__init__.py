"""The demonstration house: a real Home Assistant and a real brain, with two people who do not exist."""
