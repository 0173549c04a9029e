"""placeholder"""
def main(f):
    return 1
