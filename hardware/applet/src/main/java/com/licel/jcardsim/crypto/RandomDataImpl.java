package com.licel.jcardsim.crypto;

import javacard.security.RandomData;
import open.ecny.runtime.RandomSource;

/** Stands before the simulator's class of the same name, which is not seeded: {@link RandomSource} is. */
public class RandomDataImpl extends RandomData {
    private final byte algorithm;

    public RandomDataImpl(byte algorithm) {
        this.algorithm = algorithm;
    }

    @Override
    public void generateData(byte[] buffer, short offset, short length) {
        RandomSource.fill(buffer, offset, length);
    }

    @Override
    public short nextBytes(byte[] buffer, short offset, short length) {
        RandomSource.fill(buffer, offset, length);
        return (short) (offset + length);
    }

    /** A secure source takes a seed in addition to its own at most; this one takes none. */
    @Override
    public void setSeed(byte[] buffer, short offset, short length) {
        if (offset < 0 || length < 0 || offset + length > buffer.length) {
            throw new ArrayIndexOutOfBoundsException();
        }
    }

    @Override
    public byte getAlgorithm() {
        return algorithm;
    }
}
