"""Do the five tasks help each other, or does one of them pay for the others?"""
