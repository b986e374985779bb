package com.licel.jcardsim.crypto;

import java.security.SecureRandom;
import java.security.SecureRandomSpi;
import open.ecny.runtime.RandomSource;

/**
 * Stands before the simulator's class of the same name, whose stream starts anew, unseeded, each time: with it every
 * card has the same key pair, and every signature the same nonce, which gives the key away. Keys and nonces come from
 * {@link RandomSource} instead.
 */
final class SecureRandomNullProvider extends SecureRandom {
    private static final long serialVersionUID = 1L;

    SecureRandomNullProvider() {
        super(new FromSource(), null);
    }

    private static final class FromSource extends SecureRandomSpi {
        private static final long serialVersionUID = 1L;

        @Override
        protected void engineSetSeed(byte[] seed) {
            // The source has its own.
        }

        @Override
        protected void engineNextBytes(byte[] bytes) {
            RandomSource.fill(bytes, 0, bytes.length);
        }

        @Override
        protected byte[] engineGenerateSeed(int size) {
            byte[] seed = new byte[size];
            RandomSource.fill(seed, 0, size);
            return seed;
        }
    }
}
